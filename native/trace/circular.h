/* A trace file that never grows beyond a limit: the newest chunks take the place of the oldest records. */
#ifndef GV_CIRCULAR_H
#define GV_CIRCULAR_H

#include <stddef.h>
#include <stdint.h>

struct gv_circular;

/* How a circular file is written, gv_file_write_at; tests put another in its place to see what a killed recorder
 * leaves.
 */
typedef int64_t (*gv_circular_write)(int fd, const void *data, size_t length, uint64_t offset);

/* Begins the file that is open as `fd` and empty. NULL and *error set on failure. */
struct gv_circular *gv_circular_begin(int fd, uint64_t max_bytes, gv_circular_write write, int *error);

/* Puts a chunk into the file. `latest` is the end of the latest record in it, for RECS. Returns 0, or an errno: EFBIG
 * where what must be kept leaves no room. What was there stays readable then. */
int gv_circular_chunk(struct gv_circular *circular, uint32_t kind, uint32_t process, uint64_t latest,
                      const void *payload, size_t length);

/* The size of the file. */
uint64_t gv_circular_bytes(const struct gv_circular *circular);

void gv_circular_free(struct gv_circular *circular);

#endif
