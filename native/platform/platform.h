/* The few things that differ by system. Each system implements this header in a folder beside it, with `posix` for
 * what several share; nothing else has a system's #ifdef (the clock's instruction, platform/clock.h, differs by CPU).
 */
#ifndef GV_PLATFORM_H
#define GV_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- segments: files in the memory-backed run-time folder --- */

/* Writes the folder of this user's segments to `out`, making it (0700) if missing. Returns its length, or a
 * negative errno; -EPERM where the folder belongs to somebody else or is open to others. */
int gv_folder(char *out, size_t capacity);

/* Creates the file exclusively (0600), of `size` bytes without committing memory, and takes a shared lock that
 * lasts as long as the process. Returns the descriptor, or a negative errno. */
int gv_segment_create(const char *path, uint64_t size);

/* Opens an existing segment read-write; `hold`: and takes a shared lock. Returns the descriptor, or a negative errno.
 */
int gv_segment_open(const char *path, uint64_t *size, bool hold);

/* True if the process `pid` is gone and nobody but this descriptor holds its file. */
bool gv_segment_abandoned(int fd, uint32_t pid);

/* True if there is no such process, or it is only waiting to be reaped. */
bool gv_process_gone(uint32_t pid);

void *gv_map(int fd, uint64_t size);
void gv_unmap(void *address, uint64_t size);
void gv_close(int fd);

/* Commits memory of a mapped segment, so that a full file system is an error here and not a SIGBUS later.
 * Returns 0 or a negative errno. */
int gv_commit(int fd, uint64_t offset, uint64_t length);

/* Gives back the room of a part of a file, which reads as zeros from then on. Returns 0 or a negative errno. */
int gv_give_back(int fd, uint64_t offset, uint64_t length);

/* Makes mapped memory ready to be written without a page fault, where the system can. */
void gv_populate(void *address, uint64_t length);

/* Bytes of memory that the file really occupies. */
uint64_t gv_touched_bytes(int fd);

/* Calls `visit` for every name in the folder that starts with `prefix`; hidden ones only where that starts with a dot.
 */
void gv_list(const char *folder, const char *prefix, void (*visit)(const char *name, void *context), void *context);

/* --- this process --- */

uint32_t gv_process_id(void);
uint32_t gv_parent_process_id(void);
uint32_t gv_process_group(void);
uint32_t gv_thread_id(void);
uint32_t gv_cpus(void);
/* Of the memory that can be protected or moved by itself; not GV_PAGE, which is a layout's. */
size_t gv_page_bytes(void);
size_t gv_executable(char *out, size_t capacity);
/* The command line, arguments separated by NUL, cut at `capacity`. */
size_t gv_command_line(char *out, size_t capacity);

/* --- waiting --- */

void gv_sleep_ns(uint64_t ns);
/* Waits until `pidfd` is readable (true) or the time is over (false). -1 never becomes readable. */
bool gv_wait_exit(int pidfd, uint64_t ns);

#endif
