/* Reading rings of a segment that others write. */
#ifndef GV_READER_H
#define GV_READER_H

#include <stdbool.h>

#include "ring/segment.h"

/* A mapped segment, its parts found and checked once. */
struct gv_view {
    struct gv_segment *segment;
    struct gv_ring *rings;
    const uint8_t *log;
    struct gv_record *records;
    uint64_t size;
    /* Read from the header once: what is checked must not change afterwards. */
    uint64_t log_capacity;
    uint32_t ring_count, ring_records;
    int fd;
};

/* Opens and checks the segment at `path`; `hold`: it is not to be taken for abandoned as long as it is open. Returns 0,
 * -EAGAIN where it is not ready yet, or a negative errno. */
int gv_view_open(struct gv_view *view, const char *path, bool hold);
void gv_view_close(struct gv_view *view);

/* Copies records of ring `index` from *position up to `head` (as read earlier with acquire), at most
 * `capacity`. Moves *position behind the copied ones and adds to *lost what had been overwritten before it
 * could be copied. Returns how many are in `out`. */
size_t gv_view_copy(const struct gv_view *view, uint32_t index, uint64_t *position, uint64_t head,
                    struct gv_record *out, size_t capacity, uint64_t *lost);

/* Where the oldest record of ring `index` lies that will not be overtaken at once. */
uint64_t gv_view_oldest(const struct gv_view *view, uint32_t index);

/* Takes the node that the owner of ring `index` has finished last but not yet published, provided that it
 * belongs to `run`, which ended at `end` ticks, and that it would become record number `position`. */
bool gv_view_take_last(const struct gv_view *view, uint32_t index, uint64_t position, uint32_t run, uint64_t end,
                       struct gv_record *out);

/* Builds the record of a finished node from its stamps. `barrier_in` 0: it met no barrier and ended at `end`. */
struct gv_record gv_node_record(uint32_t run, uint32_t node, uint32_t worker_fused, uint64_t start, uint64_t inner,
                                uint64_t barrier_in, uint64_t barrier_out, uint64_t end);

#endif
