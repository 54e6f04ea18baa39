/* Reading rings: copy first, then check that what was copied had not been overtaken. */
#include <errno.h>
#include <string.h>

#include "platform/platform.h"
#include "ring/reader.h"
#include "ring/ring.h"

/* Takes the layout over from the header, if it is sound. */
static bool take_layout(struct gv_view *view) {
    const struct gv_segment *s = view->segment;
    uint64_t size = view->size, rings_offset = s->rings_offset, log_offset = s->log_offset;
    uint64_t records_offset = s->records_offset;
    view->log_capacity = s->log_capacity;
    view->ring_count = s->ring_count;
    view->ring_records = s->ring_records;
    uint64_t rings = (uint64_t)view->ring_count * sizeof(struct gv_ring);
    uint64_t records = (uint64_t)view->ring_count * view->ring_records * sizeof(struct gv_record);
    if (memcmp(s->magic, GV_SEGMENT_MAGIC, sizeof s->magic) != 0 || s->version != GV_SEGMENT_VERSION ||
        s->size != size || !view->ring_count || view->ring_count > GV_MAX_RINGS || !view->ring_records ||
        view->ring_records > GV_MAX_RING_RECORDS || (view->ring_records & (view->ring_records - 1)) != 0 ||
        rings_offset % 64 || log_offset % 8 || records_offset % 64 || rings_offset > size ||
        rings > size - rings_offset || log_offset > size || view->log_capacity > size - log_offset ||
        records_offset > size || records > size - records_offset) {
        return false;
    }
    uint8_t *base = (uint8_t *)view->segment;
    view->rings = (struct gv_ring *)(base + rings_offset);
    view->log = base + log_offset;
    view->records = (struct gv_record *)(base + records_offset);
    return true;
}

int gv_view_open(struct gv_view *view, const char *path, bool hold) {
    memset(view, 0, sizeof *view);
    view->fd = gv_segment_open(path, &view->size, hold);
    if (view->fd < 0) {
        return view->fd;
    }
    int error = -EAGAIN;
    if (view->size >= GV_PAGE) {
        view->segment = gv_map(view->fd, view->size);
        error = view->segment ? 0 : -ENOMEM;
    }
    if (!error) {
        bool ready = atomic_load_explicit(&view->segment->ready, memory_order_acquire);
        error = !ready ? -EAGAIN : take_layout(view) ? 0 : -EINVAL;
    }
    if (error) {
        gv_view_close(view);
    }
    return error;
}

void gv_view_close(struct gv_view *view) {
    if (view->segment) {
        gv_unmap(view->segment, view->size);
    }
    gv_close(view->fd);
    memset(view, 0, sizeof *view);
    view->fd = -1;
}

/* The oldest record that is certainly whole when `head` were published: the writer may already be at work
 * on record `head`, in the slot of record head - capacity. */
static uint64_t oldest_whole(uint64_t head, uint64_t capacity) {
    return head < capacity ? 0 : head - capacity + 1;
}

size_t gv_view_copy(const struct gv_view *view, uint32_t index, uint64_t *position, uint64_t head,
                    struct gv_record *out, size_t capacity, uint64_t *lost) {
    const struct gv_ring *ring = &view->rings[index];
    uint64_t size = view->ring_records;
    uint64_t first = oldest_whole(head, size);
    if (*position < first) {
        *lost += first - *position;
        *position = first;
    }
    uint64_t count = head - *position;
    if (count > capacity) {
        count = capacity;
    }
    const struct gv_record *slots = view->records + (uint64_t)index * size;
    for (uint64_t i = 0; i < count; i++) {
        const _Atomic uint64_t *slot = (const _Atomic uint64_t *)&slots[(*position + i) & (size - 1)];
        uint64_t words[4];
        for (int w = 0; w < 4; w++) {
            words[w] = atomic_load_explicit(&slot[w], memory_order_relaxed);
        }
        memcpy(&out[i], words, sizeof words);
    }
#ifndef __SANITIZE_THREAD__
    atomic_thread_fence(memory_order_acquire);
#endif
    first = oldest_whole(atomic_load_explicit(&ring->head, memory_order_relaxed), size);
    uint64_t overtaken = first > *position ? first - *position : 0;
    if (overtaken > count) {
        overtaken = count;
    }
    memmove(out, out + overtaken, (count - overtaken) * sizeof *out);
    *lost += overtaken;
    *position += count;
    return count - overtaken;
}

uint64_t gv_view_oldest(const struct gv_view *view, uint32_t index) {
    uint64_t head = atomic_load_explicit(&view->rings[index].head, memory_order_acquire);
    uint64_t size = view->ring_records, room = size / 16 + 1;
    return head > size - room ? head - (size - room) : 0;
}

struct gv_record gv_node_record(uint32_t run, uint32_t node, uint32_t worker_fused, uint64_t start, uint64_t inner,
                                uint64_t barrier_in, uint64_t barrier_out, uint64_t end) {
    if (!barrier_in) {
        barrier_in = barrier_out = end;
    } else if (barrier_out < barrier_in) {
        barrier_out = end > barrier_in ? end : barrier_in;
    }
    uint64_t busy = barrier_in > start ? barrier_in - start : 0;
    uint64_t work = busy > inner ? busy - inner : 0;
    uint64_t wait = barrier_out - barrier_in;
    uint64_t longest = work > wait ? work : wait;
    uint8_t shift = gv_duration_shift(longest > inner ? longest : inner);
    return (struct gv_record){
        .start = start,
        .kind = GV_KIND_NODE,
        .shift = (uint8_t)(shift | (worker_fused >> 16) << 4),
        .detail = (uint16_t)worker_fused,
        .run = run,
        .node = {.node = node,
                 .work = gv_duration(work, shift),
                 .inner = gv_duration(inner, shift),
                 .wait = gv_duration(wait, shift)},
    };
}

bool gv_view_take_last(const struct gv_view *view, uint32_t index, uint64_t position, uint32_t run, uint64_t end,
                       struct gv_record *out) {
    struct gv_ring *ring = &view->rings[index];
    /* Acquiring `record`, all words are seen at least as new as the node that is to become record `position`. They are
     * not newer either, if `head` is still seen at `position` afterwards: the owner raises it, and fences, before it
     * writes the first word of another node. Only the last barrier's words change meanwhile, each by itself: the run
     * has ended, so its barriers have been entered, and of `barrier_out` any value that was ever there will do. */
    if (atomic_load_explicit(&ring->current.record, memory_order_acquire) != (uint32_t)position) {
        return false;
    }
    uint32_t node = atomic_load_explicit(&ring->current.node, memory_order_relaxed);
    if (node == GV_NO_NODE || atomic_load_explicit(&ring->current.run, memory_order_relaxed) != run) {
        return false;
    }
    uint32_t worker_fused = atomic_load_explicit(&ring->current.worker_fused, memory_order_relaxed);
    uint64_t start = atomic_load_explicit(&ring->current.start, memory_order_relaxed);
    uint64_t inner = atomic_load_explicit(&ring->current.inner, memory_order_relaxed);
    uint64_t barrier_in = atomic_load_explicit(&ring->current.barrier_in, memory_order_relaxed);
    uint64_t barrier_out = atomic_load_explicit(&ring->current.barrier_out, memory_order_relaxed);
#ifndef __SANITIZE_THREAD__
    atomic_thread_fence(memory_order_acquire);
#endif
    if (atomic_load_explicit(&ring->head, memory_order_relaxed) != position ||
        atomic_load_explicit(&ring->current.node, memory_order_relaxed) != node) {
        return false;
    }
    *out = gv_node_record(run, node, worker_fused, start, inner, barrier_in, barrier_out, end);
    return true;
}
