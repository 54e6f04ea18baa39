/* Draining one segment into a trace file: the same code in the recorder beside the watched process and, where
 * there is none, inside it. */
#ifndef GV_DRAIN_H
#define GV_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/reader.h"
#include "trace/format.h"
#include "trace/writer.h"

struct gv_drain;

/* Since when records are wanted. Definitions are always read from the start of the log. */
enum gv_since {
    GV_SINCE_START = 0, /* the process's start: what is no longer there is lost */
    /* Now. Counts begin at 0; a run that is in progress, and the last nodes of one that has just ended, belong to the
     * time before and are left out whole. */
    GV_SINCE_NOW = 1,
    /* The oldest record that the rings still hold. Counts begin at 0; runs of which something is gone are left out. */
    GV_SINCE_OLDEST = 2,
};

/* Starts draining `view` (which it takes over) as `process` of the file. NULL if memory is short. */
struct gv_drain *gv_drain_open(const struct gv_view *view, struct gv_writer *writer, uint32_t process,
                               enum gv_since since);

/* Has `note` called for each NOTE of the agent's that is drained from now on (but not for those of before a late
 * beginning). The text is not terminated. */
typedef void (*gv_drain_note)(void *context, uint32_t pid, uint32_t level, const char *text, size_t length);
void gv_drain_on_note(struct gv_drain *drain, gv_drain_note note, void *context);

/* Writes what has been published since the last call. Returns how full the fullest ring was, in percent. */
unsigned gv_drain_step(struct gv_drain *drain);

/* Writes what is left, and the process's last chunks. With GV_DONE_ENDED the segment is taken to be silent: a run still
 * in progress in it never ended, which makes the reason GV_DONE_ABNORMAL. Returns how many records it has written to
 * the file in all. */
uint64_t gv_drain_finish(struct gv_drain *drain, enum gv_done reason, struct gv_stat *stat);

/* The same, and frees the drain with its view. */
uint64_t gv_drain_close(struct gv_drain *drain, enum gv_done reason, struct gv_stat *stat);

/* Frees the drain with its view and writes nothing: one that is finished, or a fork's, whose parent goes on draining.
 */
void gv_drain_abandon(struct gv_drain *drain);

/* Counters so far. */
struct gv_stat gv_drain_stat(const struct gv_drain *drain);

/* Records that it has written to the file. */
uint64_t gv_drain_records(const struct gv_drain *drain);

const struct gv_view *gv_drain_view(const struct gv_drain *drain);

#endif
