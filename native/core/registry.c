/* Looking at a segment from outside, without recording it, and the one word that may be changed there. */
#include <errno.h>
#include <string.h>

#include "core/core.h"
#include "platform/clock.h"
#include "platform/platform.h"
#include "ring/reader.h"
#include "trace/format.h"

static void take_seconds(const struct gv_segment *segment, struct gv_segment_state *out) {
    uint64_t now = gv_nanoseconds(CLOCK_MONOTONIC), last = now / 1000000000u - 1;
    const struct gv_second *entry = &segment->seconds[last % GV_SECONDS];
    if (atomic_load_explicit(&entry->second, memory_order_acquire) != last) {
        return; /* it counts another second */
    }
    for (uint32_t phase = 0; phase < GV_PHASE_COUNT; phase++) {
        out->runs[phase] = atomic_load_explicit(&entry->runs[phase], memory_order_relaxed);
        out->tokens[phase] = atomic_load_explicit(&entry->tokens[phase], memory_order_relaxed);
    }
}

/* Of several runs at once, that which began last. */
static uint32_t active_phase(const struct gv_segment *segment) {
    uint32_t phase = GV_PHASE_COUNT;
    uint64_t latest = 0;
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        const struct gv_active_run *active = &segment->active[i];
        if (!atomic_load_explicit(&active->run, memory_order_acquire)) {
            continue;
        }
        uint64_t start = atomic_load_explicit(&active->start, memory_order_relaxed);
        uint32_t own = atomic_load_explicit(&active->phase, memory_order_relaxed);
        if (start >= latest && own < GV_PHASE_COUNT) {
            latest = start;
            phase = own;
        }
    }
    return phase;
}

static void take_runs(const struct gv_segment *segment, struct gv_now *now) {
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        const struct gv_active_run *active = &segment->active[i];
        uint32_t run = atomic_load_explicit(&active->run, memory_order_acquire);
        if (run) {
            now->runs[now->run_count++] = (struct gv_now_run){
                .run = run,
                .graph = atomic_load_explicit(&active->graph, memory_order_relaxed),
                .placement = atomic_load_explicit(&active->placement, memory_order_relaxed),
                .phase = atomic_load_explicit(&active->phase, memory_order_relaxed),
                .start = atomic_load_explicit(&active->start, memory_order_relaxed),
            };
        }
    }
}

/* A worker's last node stays in its ring until it begins another: it counts while its run lasts. */
static bool is_active(const struct gv_now *now, uint32_t run) {
    for (uint32_t i = 0; i < now->run_count; i++) {
        if (now->runs[i].run == run) {
            return true;
        }
    }
    return false;
}

void gv_view_now(const struct gv_view *view, struct gv_now *now) {
    const struct gv_segment *s = view->segment;
    *now = (struct gv_now){
        .ticks = gv_ticks(),
        .control = atomic_load(&s->control),
        .recorder = gv_process_of(atomic_load(&s->recorder)),
    };
    take_runs(s, now);
    for (uint32_t i = 0; i < view->ring_count && now->worker_count < GV_NOW_WORKERS; i++) {
        const struct gv_ring *ring = &view->rings[i];
        uint32_t node = atomic_load_explicit(&ring->current.node, memory_order_acquire);
        uint32_t run = atomic_load_explicit(&ring->current.run, memory_order_relaxed);
        if (node == GV_NO_NODE || !is_active(now, run)) {
            continue;
        }
        uint64_t in = atomic_load_explicit(&ring->current.barrier_in, memory_order_relaxed);
        bool waiting = atomic_load_explicit(&ring->current.barrier_out, memory_order_relaxed) < in;
        now->workers[now->worker_count++] = (struct gv_now_worker){
            .run = run,
            .node = node,
            .worker = atomic_load_explicit(&ring->current.worker_fused, memory_order_relaxed) & 0xffff,
            .waiting = waiting,
            .since = waiting ? in : atomic_load_explicit(&ring->current.start, memory_order_relaxed),
        };
    }
}

int gv_segment_describe(const char *path, struct gv_segment_state *out) {
    struct gv_view view;
    int error = gv_view_open(&view, path, false);
    if (error) {
        return error;
    }
    const struct gv_segment *s = view.segment;
    *out = (struct gv_segment_state){
        .pid = s->pid,
        .control = atomic_load(&s->control),
        .recorder = gv_process_of(atomic_load(&s->recorder)),
        .phase = active_phase(s),
        .start_wall_ns = s->start_wall_ns,
        .dropped = atomic_load_explicit(&s->records_dropped, memory_order_relaxed),
        .skipped = atomic_load_explicit(&s->records_skipped, memory_order_relaxed),
        .definitions_dropped = atomic_load_explicit(&s->definitions_dropped, memory_order_relaxed),
        .touched_bytes = gv_touched_bytes(view.fd),
    };
    out->alive = !gv_process_gone(out->pid, s->process_start);
    for (uint32_t i = 0; i < view.ring_count; i++) {
        out->records += atomic_load_explicit(&view.rings[i].head, memory_order_relaxed);
    }
    take_seconds(s, out);
    gv_view_close(&view);
    return 0;
}

int64_t gv_segment_definitions(const char *path, uint8_t *out, size_t capacity) {
    struct gv_view view;
    int error = gv_view_open(&view, path, false);
    if (error) {
        return error;
    }
    uint64_t tail = atomic_load_explicit(&view.segment->log_tail, memory_order_acquire);
    tail = tail < view.log_capacity ? tail : view.log_capacity;
    size_t copied = 0;
    struct gv_definition_header header;
    for (uint64_t at = 0; tail - at >= sizeof header; at += header.length) {
        memcpy(&header, view.log + at, sizeof header);
        if (header.length < sizeof header || header.length % 8 || header.length > tail - at) {
            break;
        }
        if (header.kind == GV_DEF_GRAPH || header.kind == GV_DEF_PLACEMENT) {
            continue;
        }
        if (header.length > capacity - copied) {
            break;
        }
        /* The header that was checked, not what may stand there by now. */
        memcpy(out + copied, &header, sizeof header);
        memcpy(out + copied + sizeof header, view.log + at + sizeof header, header.length - sizeof header);
        copied += header.length;
    }
    gv_view_close(&view);
    return (int64_t)copied;
}

int gv_segment_control(const char *path, uint32_t clear, uint32_t set, uint32_t words[2]) {
    struct gv_view view;
    int error = gv_view_open(&view, path, false);
    if (error) {
        return error;
    }
    words[0] = atomic_load(&view.segment->control);
    do {
        words[1] = (words[0] & ~clear) | set;
    } while (!atomic_compare_exchange_weak(&view.segment->control, &words[0], words[1]));
    gv_view_close(&view);
    return 0;
}
