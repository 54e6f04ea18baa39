/* Each thread's ring: claimed at its first record, handed back when the thread ends. */
#include <stdlib.h>

#include "agent/agent.h"
#include "platform/platform.h"
#include "ring/ring.h"

GV_THREAD_LOCAL struct gv_thread *self;

static struct gv_thread *threads; /* one for each ring */
static pthread_key_t end_of_thread;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool limited;
static _Atomic int64_t events_left;

/* The thread ends: its last node is published by itself, and the ring is free for another. */
static void release(void *value) {
    struct gv_thread *thread = value;
    self = NULL;
    gv_node_leave();
    if (atomic_load(&gv_state) != GV_ON) {
        return;
    }
    gv_node_publish(thread);
    atomic_store_explicit(&thread->ring->owner, 0, memory_order_release);
}

static void make_key(void) {
    pthread_key_create(&end_of_thread, release);
}

void gv_threads_start(void) {
    pthread_once(&key_once, make_key);
    threads = calloc(gv_segment->ring_count, sizeof *threads);
}

static struct gv_thread *claim(void) {
    if (!threads) {
        return NULL;
    }
    uint32_t id = gv_thread_id(), count = gv_segment->ring_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t nobody = 0;
        struct gv_ring *ring = &gv_rings[i];
        if (atomic_load_explicit(&ring->owner, memory_order_relaxed) != 0 ||
            !atomic_compare_exchange_strong(&ring->owner, &nobody, id)) {
            continue;
        }
        if (!gv_ring_prepare(i)) {
            atomic_store_explicit(&ring->owner, 0, memory_order_release);
            return NULL;
        }
        atomic_fetch_add_explicit(&ring->handovers, 1, memory_order_relaxed);
        struct gv_thread *thread = &threads[i];
        *thread = (struct gv_thread){
            .ring = ring,
            .slots = gv_ring_slots(i),
            .mask = gv_segment->ring_records - 1,
        };
        pthread_setspecific(end_of_thread, thread);
        self = thread;
        return thread;
    }
    return NULL;
}

struct gv_thread *gv_thread_self(void) {
    return GV_LIKELY(self != NULL) ? self : claim();
}

void gv_threads_after_fork(void) {
    self = NULL;
    threads = NULL;
    pthread_setspecific(end_of_thread, NULL);
}

void gv_limit_events(uint64_t limit) {
    limited = limit > 0;
    atomic_store(&events_left, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

void gv_put(struct gv_thread *thread, const struct gv_record *record) {
    if (GV_UNLIKELY(!thread)) {
        atomic_fetch_add_explicit(&gv_segment->records_dropped, 1, memory_order_relaxed);
    } else if (GV_UNLIKELY(limited) && atomic_fetch_sub_explicit(&events_left, 1, memory_order_relaxed) <= 0) {
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
    } else {
        gv_ring_put(thread->ring, thread->slots, thread->mask, record);
    }
}
