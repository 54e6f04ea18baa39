/* macOS: the user's temporary folder for segments, sysctl for what is known of processes, the counter on which the
 * kernel's own clock runs. */
#include <crt_externs.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/proc.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <libproc.h>

#include "platform/clock.h"
#include "platform/platform.h"
#include "platform/posix/posix.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* The kernel's clock is this counter on every Mac that this can run on; the CPU says whether it ticks at one rate. */
bool gv_counter_is_invariant(void) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
#else
    return true; /* the generic timer is, by the architecture */
#endif
}

/* What TMPDIR is set to, unless a program has changed it: whoever records and who is recorded have to agree. */
int gv_folder(char *out, size_t capacity) {
    char base[PATH_MAX];
    size_t length = confstr(_CS_DARWIN_USER_TEMP_DIR, base, sizeof base);
    if (length == 0 || length > sizeof base) {
        strcpy(base, "/tmp");
    }
    for (length = strlen(base); length > 1 && base[length - 1] == '/'; length--) {
        base[length - 1] = '\0';
    }
    return gv_folder_in(base, out, capacity);
}

/* Returns 0 with what the kernel says of a process, or an errno: ESRCH if there is none. */
static int ask_of(uint32_t pid, struct kinfo_proc *process) {
    int name[4] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid};
    size_t size = sizeof *process;
    if (sysctl(name, 4, process, &size, NULL, 0) != 0) {
        return errno;
    }
    return size == 0 ? ESRCH : 0;
}

static uint64_t start_of(const struct kinfo_proc *process) {
    const struct timeval *start = &process->kp_proc.p_starttime;
    return (uint64_t)start->tv_sec * 1000000u + (uint64_t)start->tv_usec;
}

uint64_t gv_process_start(uint32_t pid) {
    struct kinfo_proc process;
    return ask_of(pid, &process) == 0 ? start_of(&process) : 0;
}

bool gv_process_gone(uint32_t pid, uint64_t start) {
    struct kinfo_proc process;
    int error = ask_of(pid, &process);
    return error ? error == ESRCH : process.kp_proc.p_stat == SZOMB || (start && start_of(&process) != start);
}

/* F_PREALLOCATE only adds room behind a file's end, and holes are what is to be filled: so zeros are written, where
 * nothing has been written yet. */
int gv_commit(int fd, uint64_t offset, uint64_t length) {
    static const uint8_t zeros[1u << 16];
    while (length) {
        size_t part = length < sizeof zeros ? (size_t)length : sizeof zeros;
        ssize_t written = pwrite(fd, zeros, part, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? -errno : -ENOSPC;
        }
        offset += (uint64_t)written;
        length -= (uint64_t)written;
    }
    return 0;
}

/* Whole blocks only, so what is left at either end stays until its neighbours go. */
int gv_give_back(int fd, uint64_t offset, uint64_t length) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return -errno;
    }
    uint64_t block = status.st_blksize > 0 ? (uint64_t)status.st_blksize : 4096;
    uint64_t first = (offset + block - 1) / block * block, end = (offset + length) / block * block;
    if (first >= end) {
        return 0;
    }
    struct fpunchhole hole = {.fp_offset = (off_t)first, .fp_length = (off_t)(end - first)};
    return fcntl(fd, F_PUNCHHOLE, &hole) == 0 ? 0 : -errno;
}

void gv_flush(int fd) {
    fcntl(fd, F_FULLFSYNC);
}

void gv_populate(void *address, uint64_t length) {
    madvise(address, length, MADV_WILLNEED);
}

uint32_t gv_thread_id(void) {
    uint64_t id = 0;
    pthread_threadid_np(NULL, &id);
    return (uint32_t)id;
}

size_t gv_executable(char *out, size_t capacity) {
    char path[PROC_PIDPATHINFO_MAXSIZE];
    int length = proc_pidpath(getpid(), path, sizeof path);
    size_t kept = length <= 0 ? 0 : (size_t)length < capacity ? (size_t)length : capacity;
    memcpy(out, path, kept);
    return kept;
}

size_t gv_command_line(char *out, size_t capacity) {
    int count = *_NSGetArgc();
    char **arguments = *_NSGetArgv();
    size_t length = 0;
    for (int i = 0; i < count && arguments[i] && length < capacity; i++) {
        size_t bytes = strlen(arguments[i]) + 1, room = capacity - length;
        memcpy(out + length, arguments[i], bytes < room ? bytes : room);
        length += bytes < room ? bytes : room;
    }
    return length > 0 && out[length - 1] == '\0' ? length - 1 : length;
}

/* `process` is a kqueue with an event for the process's end, which is looked at and left there. */
bool gv_wait_exit(intptr_t process, uint64_t ns) {
    if (process < 0) {
        gv_sleep_ns(ns);
        return false;
    }
    struct pollfd descriptor = {.fd = (int)process, .events = POLLIN};
    uint64_t ms = (ns + 999999u) / 1000000u;
    return poll(&descriptor, 1, ms < INT_MAX ? (int)ms : INT_MAX) > 0;
}

void gv_on_fork(void (*in_child)(void)) {
    pthread_atfork(NULL, NULL, in_child);
}
