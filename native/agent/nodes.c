/* What a worker does: a node begins, meets barriers, ends at the last of them.
 *
 * Which barrier closes a node is known only when the next node begins, so a node's record is published then.
 * Until that moment all that is known of it stands in the ring's header, where a reader can complete the last
 * node of a run (docs/architecture.md, "The last node"). */
#include <stdlib.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "ring/reader.h"
#include "ring/ring.h"

_Atomic bool gv_barriers_unseen;

GV_THREAD_LOCAL struct gv_thread *in_node; /* set while a node is in progress on this thread */

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

/* The record of the node that `ring` has in its header, as if it had ended at `end` unless a barrier closed it. */
static struct gv_record current_record(const struct gv_ring *ring, uint64_t end) {
    return gv_node_record(LOAD(ring->current.run), LOAD(ring->current.node), LOAD(ring->current.worker_fused),
                          LOAD(ring->current.start), LOAD(ring->current.inner), LOAD(ring->current.barrier_in),
                          LOAD(ring->current.barrier_out), end);
}

/* Looks for `node` among the nodes of a run, from where it is expected. `nodes` is published after their count. A
 * thread that works for the run keeps it from ending; one that looks at others' may find another run's nodes there, or
 * those of one that has just ended (see forget in graphs.c): they are compared, never followed. */
static bool find_in_run(struct gv_thread *thread, const struct gv_run *run, const struct ggml_tensor *node) {
    const struct ggml_tensor *const *nodes = atomic_load_explicit(&run->nodes, memory_order_acquire);
    uint32_t count = LOAD(run->node_count), expected = thread->next_node < count ? thread->next_node : 0;
    if (!nodes) {
        return false;
    }
    for (uint32_t i = expected; i < count; i++) {
        if (nodes[i] == node) {
            thread->next_node = i;
            return true;
        }
    }
    for (uint32_t i = 0; i < expected; i++) {
        if (nodes[i] == node) {
            thread->next_node = i;
            return true;
        }
    }
    return false;
}

/* Finds the run that this node belongs to: the one this thread worked for last, else any that is active. A
 * worker is told neither, so the node itself must say it. */
static bool find_run(struct gv_thread *thread, const struct ggml_tensor *node) {
    const struct gv_run *run = &gv_runs[thread->slot];
    if (GV_LIKELY(thread->run && atomic_load_explicit(&run->number, memory_order_acquire) == thread->run &&
                  find_in_run(thread, run, node))) {
        return true;
    }
    for (uint32_t slot = 0; slot < GV_ACTIVE_RUNS; slot++) {
        run = &gv_runs[slot];
        uint32_t number = atomic_load_explicit(&run->number, memory_order_acquire);
        if (number && number != thread->run) {
            thread->next_node = 0;
            if (find_in_run(thread, run, node)) {
                thread->slot = slot;
                thread->run = number;
                return true;
            }
        }
    }
    thread->run = 0;
    return false;
}

/* Whether the node in the ring's header has met a barrier and left it. */
static bool is_closed(const struct gv_ring *ring) {
    uint64_t barrier_in = LOAD(ring->current.barrier_in);
    return barrier_in && LOAD(ring->current.barrier_out) >= barrier_in;
}

static void begin(struct gv_thread *thread, uint32_t worker, uint32_t threads, uint32_t fused) {
    struct gv_ring *ring = thread->ring;
    uint64_t start = 0;
    if (LOAD(ring->current.node) != GV_NO_NODE) {
        uint64_t now = is_closed(ring) ? 0 : gv_ticks();
        struct gv_record previous = current_record(ring, now);
        gv_put(thread, &previous);
        if (LOAD(ring->current.run) == thread->run) {
            /* The barrier that let the previous node go is what let this one begin. */
            start = now ? now : LOAD(ring->current.barrier_out);
            if (GV_UNLIKELY(!LOAD(ring->current.barrier_in) && threads > 1)) {
                atomic_store_explicit(&gv_barriers_unseen, true, memory_order_relaxed);
            }
        }
    }
    /* A reader that sees one of the words that follow sees the head that was raised when the previous node was put,
     * here or by gv_node_publish: a release store alone lets later ones pass. */
#ifndef __SANITIZE_THREAD__
    atomic_thread_fence(memory_order_release);
#endif
    STORE(ring->current.run, thread->run);
    STORE(ring->current.worker_fused, worker | fused << 16);
    STORE(ring->current.start, start ? start : gv_ticks());
    STORE(ring->current.inner, 0);
    STORE(ring->current.barrier_in, 0);
    STORE(ring->current.barrier_out, 0);
    atomic_store_explicit(&ring->current.node, thread->next_node, memory_order_release);
    atomic_store_explicit(&ring->current.record, (uint32_t)LOAD(ring->head), memory_order_release);
    thread->next_node += 1 + fused;
    thread->threads = threads;
    in_node = thread;
}

/* What begins now is not recorded, but ends the node before it. */
static void close_previous(void) {
    struct gv_thread *thread = in_node;
    if (thread) {
        gv_node_publish(thread);
        in_node = NULL;
    }
}

/* A node of a run whose nodes are not all wanted: false where it is to be left out, and counted where it is so by a
 * filter. */
static bool is_wanted(struct gv_thread *thread, const uint64_t *wanted, uint32_t fused) {
    if (wanted != gv_want_elsewhere) {
        for (uint32_t i = 0; i <= fused; i++) {
            if (gv_is_wanted(wanted, thread->next_node + i)) {
                return true;
            }
        }
        STORE(thread->filtered, LOAD(thread->filtered) + 1);
    }
    thread->next_node += 1 + fused;
    close_previous();
    return false;
}

void gv_node_begin(const int *params, const struct ggml_tensor *node, uint32_t fused) {
    uint32_t control = LOAD(gv_segment->control), detail = control & GV_CONTROL_DETAIL_MASK;
    uint32_t worker = (uint32_t)params[0], threads = (uint32_t)params[1];
    if (GV_UNLIKELY(detail == GV_DETAIL_GRAPH || (detail == GV_DETAIL_OP && worker != 0) ||
                    (control & (GV_CONTROL_PAUSED | GV_CONTROL_STOPPED)))) {
        close_previous();
        return;
    }
    struct gv_thread *thread = gv_thread_self();
    if (GV_UNLIKELY(!thread)) {
        atomic_fetch_add_explicit(&gv_segment->records_dropped, 1, memory_order_relaxed);
        return;
    }
    if (GV_UNLIKELY(!find_run(thread, node))) {
        close_previous();
        return; /* of a run that is not recorded: on request, or of a ggml that cannot be read */
    }
    if (worker == 0) {
        STORE(gv_runs[thread->slot].threads, threads);
    }
    const uint64_t *wanted = LOAD(gv_runs[thread->slot].wanted);
    if (GV_UNLIKELY(wanted) && !is_wanted(thread, wanted, fused)) {
        return;
    }
    begin(thread, worker, threads, fused);
}

void gv_node_publish(struct gv_thread *thread) {
    if (LOAD(thread->ring->current.node) != GV_NO_NODE) {
        struct gv_record last = current_record(thread->ring, gv_ticks());
        gv_put(thread, &last);
        atomic_store_explicit(&thread->ring->current.node, GV_NO_NODE, memory_order_release);
    }
}

void gv_node_flush(uint32_t run) {
    struct gv_thread *thread = in_node;
    if (thread && LOAD(thread->ring->current.run) == run) {
        gv_node_publish(thread);
        in_node = NULL;
    }
}

struct gv_thread *gv_barrier_enter(void) {
    struct gv_thread *thread = in_node;
    /* A thread of a pool may meet barriers of others between runs. */
    if (!thread || LOAD(gv_runs[thread->slot].number) != thread->run) {
        return NULL;
    }
    struct gv_ring *ring = thread->ring;
    uint64_t previous_in = LOAD(ring->current.barrier_in), now = gv_ticks();
    if (GV_UNLIKELY(previous_in > LOAD(ring->current.barrier_out))) {
        /* A barrier after the kernel's end: they are seen after all. */
        atomic_store_explicit(&gv_barriers_unseen, false, memory_order_relaxed);
    } else if (previous_in) {
        STORE(ring->current.inner, LOAD(ring->current.inner) + LOAD(ring->current.barrier_out) - previous_in);
    }
    STORE(ring->current.barrier_in, now);
    if (thread->threads == 1) {
        STORE(ring->current.barrier_out, now); /* nobody to wait for */
        return NULL;
    }
    in_node = NULL; /* a barrier inside this one is part of it */
    return thread;
}

void gv_barrier_leave(struct gv_thread *thread) {
    STORE(thread->ring->current.barrier_out, gv_ticks());
    in_node = thread;
}

void gv_node_worked(void) {
    struct gv_thread *thread = in_node;
    if (GV_LIKELY(!atomic_load_explicit(&gv_barriers_unseen, memory_order_relaxed)) || !thread) {
        return;
    }
    gv_barrier_enter();
    in_node = thread;
}

void gv_kernel(void *a, void *b, void *c, void *d, void *e, void (*original)(void *, void *, void *, void *, void *)) {
    original(a, b, c, d, e);
    gv_node_worked();
}

void gv_node_leave(void) {
    in_node = NULL;
}

uint32_t gv_measure_put_cost(void) {
    enum { COUNT = 512, ROUNDS = 5 };
    struct gv_ring *ring = calloc(1, sizeof *ring);
    struct gv_record *slots = calloc(COUNT, sizeof *slots);
    uint64_t taken[ROUNDS] = {0};
    if (ring && slots) {
        struct gv_thread thread = {.ring = ring, .slots = slots, .mask = COUNT - 1};
        STORE(ring->current.node, GV_NO_NODE);
        struct gv_thread *was_in = in_node;
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t before = gv_nanoseconds(CLOCK_MONOTONIC);
            for (int i = 0; i < COUNT; i++) {
                begin(&thread, 0, 2, 0);
                gv_barrier_enter();
                gv_barrier_leave(&thread);
            }
            uint64_t now = gv_nanoseconds(CLOCK_MONOTONIC) - before;
            /* Kept in order: the middle one counts. */
            int at = round;
            for (; at > 0 && taken[at - 1] > now; at--) {
                taken[at] = taken[at - 1];
            }
            taken[at] = now;
        }
        in_node = was_in;
    }
    free(ring);
    free(slots);
    return (uint32_t)(taken[ROUNDS / 2] * 1000 / COUNT);
}
