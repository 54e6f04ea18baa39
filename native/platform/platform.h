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

/* True if the process is gone and nobody but this descriptor holds its file. */
bool gv_segment_abandoned(int fd, uint32_t pid, uint64_t start);

/* When a process began, on a clock of the system's: with its number, what no other process has. 0: not to be known. */
uint64_t gv_process_start(uint32_t pid);

/* True if there is no process `pid` that began at `start` (0: whenever), or it is only waiting to be reaped. */
bool gv_process_gone(uint32_t pid, uint64_t start);

/* A process in one word, for atomics: its number, and above it the lower half of when it began. */
uint64_t gv_process_word(uint32_t pid);

/* The number of the process that a word stands for, if it is still there; else 0. */
uint32_t gv_process_of(uint64_t word);

void *gv_map(int fd, uint64_t size);
void gv_unmap(void *address, uint64_t size);
void gv_close(int fd);

/* Commits memory of a mapped segment, so that a full file system is an error here and not a SIGBUS later.
 * Returns 0 or a negative errno. */
int gv_commit(int fd, uint64_t offset, uint64_t length);

/* Gives back the room of a part of a file, which reads as zeros from then on. Returns 0 or a negative errno. */
int gv_give_back(int fd, uint64_t offset, uint64_t length);

/* Has a finished file brought to the disk itself, where the system would leave it in a cache of the disk's for long. */
void gv_flush(int fd);

/* Makes mapped memory ready to be written without a page fault, where the system can. */
void gv_populate(void *address, uint64_t length);

/* Bytes of memory that the file really occupies. */
uint64_t gv_touched_bytes(int fd);

/* Calls `visit` for every name in the folder that starts with `prefix`; hidden ones only where that starts with a dot.
 */
void gv_list(const char *folder, const char *prefix, void (*visit)(const char *name, void *context), void *context);

/* --- files; their paths are UTF-8 on every system --- */

enum gv_opening {
    GV_FILE_FRESH,    /* empty, to be appended to */
    GV_FILE_ANYWHERE, /* empty, to be written at any place */
    GV_FILE_JOINED,   /* as it is, to be read and appended to */
};

/* Opens a file, and makes it if it is missing. Returns the descriptor, or a negative errno. */
int gv_file_open(const char *path, enum gv_opening opening);

struct gv_part {
    const void *data;
    size_t length;
};

/* Appends all parts in one step, as others see it who append to the same file, or nothing: what was written of them is
 * cut off again, as far as that is possible. Returns 0 or an errno. */
int gv_file_append(int fd, const struct gv_part *parts, int count);

/* How many bytes were read or written, or a negative errno. */
int64_t gv_file_read_at(int fd, void *out, size_t length, uint64_t offset);
int64_t gv_file_write_at(int fd, const void *data, size_t length, uint64_t offset);

/* Returns 0 or a negative errno. */
int gv_file_cut(int fd, uint64_t size);

/* Tries to keep other processes, as far as they ask, from the file; until then, or until this one ends. */
bool gv_file_lock(int fd);
void gv_file_unlock(int fd);

/* Reads a whole file as a string, if it is the user's own, regular, and fits with the zero at its end. */
bool gv_file_read_own(const char *path, char *out, size_t capacity);

bool gv_file_exists(const char *path);
bool gv_file_rename(const char *from, const char *to);
void gv_file_remove(const char *path);

/* --- this process --- */

/* The length of a variable of the environment, 0 where it is not set; `out` gets as much of it as fits, and a zero. */
size_t gv_environment(const char *name, char *out, size_t capacity);

/* Starts a thread on which no signal of the program is handled. */
bool gv_thread_start(void *(*function)(void *));

/* Calls `function` with no signal of the program handled on this thread meanwhile, and none left behind that its
 * writing has caused. */
void gv_undisturbed(void (*function)(void));

/* Has `in_child` called in each copy of this process that a fork makes; call it once. */
void gv_on_fork(void (*in_child)(void));

/* What the last failed call has left for the program to read, and putting it back. */
uint64_t gv_last_error(void);
void gv_set_last_error(uint64_t error);

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
/* Waits until a process has ended (true) or the time is over (false). It is given by what the system has for that, a
 * descriptor or a handle; -1: none, which never ends. */
bool gv_wait_exit(intptr_t process, uint64_t ns);

#endif
