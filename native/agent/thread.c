/* Each thread's ring: claimed at its first record, handed back when the thread ends. */
#include <stdlib.h>

#include "agent/agent.h"
#include "platform/platform.h"
#include "ring/ring.h"

GV_THREAD_LOCAL struct gv_thread *self;

static struct gv_thread *threads; /* one for each ring */
static pthread_key_t end_of_thread;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static _Atomic bool limited;
static _Atomic int64_t events_left;
static _Atomic uint64_t counted; /* of what threads have filtered */

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
        /* Not at once: whoever had the ring before has counted in `filtered`. */
        thread->ring = ring;
        thread->slots = gv_ring_slots(i);
        thread->mask = gv_segment->ring_records - 1;
        thread->next_node = thread->slot = thread->run = thread->threads = 0;
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
    atomic_store(&counted, 0);
    pthread_setspecific(end_of_thread, NULL);
}

void gv_count_filtered(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; threads && i < gv_segment->ring_count; i++) {
        sum += atomic_load_explicit(&threads[i].filtered, memory_order_relaxed);
    }
    /* Two at once may add in either order: what one adds too little, the next one adds. */
    uint64_t before = atomic_exchange(&counted, sum);
    atomic_fetch_add_explicit(&gv_segment->records_skipped, sum - before, memory_order_relaxed);
}

void gv_limit_events(uint64_t limit) {
    atomic_store(&events_left, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    atomic_store(&limited, limit > 0);
}

void gv_put(struct gv_thread *thread, const struct gv_record *record) {
    if (GV_UNLIKELY(!thread)) {
        atomic_fetch_add_explicit(&gv_segment->records_dropped, 1, memory_order_relaxed);
    } else if (GV_UNLIKELY(atomic_load_explicit(&limited, memory_order_relaxed)) &&
               atomic_fetch_sub_explicit(&events_left, 1, memory_order_relaxed) <= 0) {
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
    } else {
        gv_ring_put(thread->ring, thread->slots, thread->mask, record);
    }
}
