/* Appending chunks to a trace file. A chunk is on disk whole or not at all. */
#ifndef GV_WRITER_H
#define GV_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct gv_circular;

struct gv_writer {
    int fd;
    int error;                    /* errno of the first failure; nothing is written after it */
    uint64_t bytes;               /* written, headers included */
    struct gv_circular *circular; /* NULL: chunks are appended */
};

/* Creates the file (truncating what was there) and writes its header. Returns 0 or an errno. */
int gv_writer_create(struct gv_writer *writer, const char *path);

/* The same, for a file that never gets larger than `max_bytes`: the newest records take the place of the oldest. */
int gv_writer_create_circular(struct gv_writer *writer, const char *path, uint64_t max_bytes);

/* For a process that writes its own trace: joins the file at `path` if a process of the same process group
 * (one job of a shell) has written it, else creates it anew. A file that is no trace is left alone (EEXIST).
 * Returns 0 or an errno. */
int gv_writer_join(struct gv_writer *writer, const char *path);

/* Appends a chunk. After a failure the file is cut back to its last whole chunk. */
void gv_writer_chunk(struct gv_writer *writer, uint32_t kind, uint32_t process, const void *payload, size_t length);

/* Appends a RECS chunk, none of whose records ended after `latest`. */
void gv_writer_records(struct gv_writer *writer, uint32_t process, uint64_t latest, const void *payload, size_t length);

void gv_writer_close(struct gv_writer *writer);

#endif
