/* Linux: /dev/shm for segments, flock to tell a live one from a stale one, the counter where the kernel
 * itself trusts it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/platform.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

int gv_clock_chosen = -1;

/* Reads a small file of /proc or /sys whole. */
static size_t read_file(const char *path, char *out, size_t capacity) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    size_t length = 0;
    while (length < capacity) {
        ssize_t n = read(fd, out + length, capacity - length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        length += (size_t)n;
    }
    close(fd);
    return length;
}

/* The counter is usable if it ticks at one rate in all power states and on all cores. The CPU says the first;
 * the kernel, by using it for its own clock, the second. */
static bool counter_is_invariant(void) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) || !(edx & (1u << 8))) {
        return false;
    }
    char source[16] = {0};
    read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source - 1);
    return strcmp(source, "tsc\n") == 0;
#elif defined(__aarch64__)
    return true; /* the generic timer is, by the architecture */
#else
    return false;
#endif
}

int gv_clock_init(void) {
    if (gv_clock_chosen < 0) {
        gv_clock_chosen = counter_is_invariant() ? GV_CLOCK_COUNTER : GV_CLOCK_MONOTONIC;
    }
    return gv_clock_chosen;
}

void gv_clock_sample(uint64_t out[3]) {
    gv_clock_init();
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 8; i++) {
        uint64_t before = gv_ticks();
        uint64_t monotonic = gv_nanoseconds(CLOCK_MONOTONIC);
        uint64_t wall = gv_nanoseconds(CLOCK_REALTIME);
        uint64_t after = gv_ticks();
        if (after - before < best) {
            best = after - before;
            out[0] = gv_clock_chosen == GV_CLOCK_COUNTER ? before + (after - before) / 2 : monotonic;
            out[1] = monotonic;
            out[2] = wall;
        }
    }
}

int gv_folder(char *out, size_t capacity) {
    const char *base = "/dev/shm";
    if (access(base, W_OK | X_OK) != 0) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        base = runtime && runtime[0] == '/' ? runtime : "/tmp";
    }
    int length = snprintf(out, capacity, "%s/ggml-viz-%u", base, (unsigned)geteuid());
    if (length < 0 || (size_t)length >= capacity) {
        return -ENAMETOOLONG;
    }
    if (mkdir(out, 0700) != 0 && errno != EEXIST) {
        return -errno;
    }
    /* The place is shared by all users: take nothing that another one may have laid there. */
    struct stat status;
    if (lstat(out, &status) != 0) {
        return -errno;
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
        return -EPERM;
    }
    return length;
}

int gv_segment_create(const char *path, uint64_t size) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_SH) != 0 || ftruncate(fd, (off_t)size) != 0) {
        int error = errno;
        unlink(path);
        close(fd);
        return -error;
    }
    return fd;
}

int gv_segment_open(const char *path, uint64_t *size, bool hold) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -errno;
    }
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (hold && flock(fd, LOCK_SH | LOCK_NB) != 0)) {
        int error = errno ? errno : EINVAL;
        close(fd);
        return -error;
    }
    *size = (uint64_t)status.st_size;
    return fd;
}

/* A process that is only waiting to be reaped is gone. */
bool gv_process_gone(uint32_t pid) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    size_t length = read_file(path, text, sizeof text - 1);
    text[length] = '\0';
    char *name_end = strrchr(text, ')');
    return !name_end || name_end[1] == '\0' || name_end[2] == 'Z' || name_end[2] == 'X';
}

bool gv_segment_abandoned(int fd, uint32_t pid) {
    /* Both are asked: a program may close descriptors that it did not open, and a process may live in a
     * namespace where its number means another one. */
    if (!gv_process_gone(pid)) {
        return false;
    }
    bool alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
    /* A failed conversion may have dropped the lock that was held. */
    flock(fd, LOCK_SH | LOCK_NB);
    return alone;
}

void *gv_map(int fd, uint64_t size) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

void gv_unmap(void *address, uint64_t size) {
    munmap(address, size);
}

void gv_close(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

int gv_commit(int fd, uint64_t offset, uint64_t length) {
    int error;
    do {
        error = posix_fallocate(fd, (off_t)offset, (off_t)length);
    } while (error == EINTR);
    return -error;
}

int gv_give_back(int fd, uint64_t offset, uint64_t length) {
    int flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(fd, flags, (off_t)offset, (off_t)length) == 0 ? 0 : -errno;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

void gv_populate(void *address, uint64_t length) {
    madvise(address, length, MADV_POPULATE_WRITE);
}

uint64_t gv_touched_bytes(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_blocks * 512u : 0;
}

void gv_list(const char *folder, const char *prefix, void (*visit)(const char *name, void *context), void *context) {
    DIR *directory = opendir(folder);
    if (!directory) {
        return;
    }
    size_t length = strlen(prefix);
    for (struct dirent *entry; (entry = readdir(directory));) {
        bool shown = entry->d_name[0] != '.' || prefix[0] == '.';
        if (shown && strncmp(entry->d_name, prefix, length) == 0) {
            visit(entry->d_name, context);
        }
    }
    closedir(directory);
}

uint32_t gv_process_id(void) {
    return (uint32_t)getpid();
}

uint32_t gv_parent_process_id(void) {
    return (uint32_t)getppid();
}

uint32_t gv_process_group(void) {
    return (uint32_t)getpgrp();
}

uint32_t gv_thread_id(void) {
    return (uint32_t)syscall(SYS_gettid);
}

uint32_t gv_cpus(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

size_t gv_page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t gv_executable(char *out, size_t capacity) {
    ssize_t length = readlink("/proc/self/exe", out, capacity);
    return length > 0 ? (size_t)length : 0;
}

size_t gv_command_line(char *out, size_t capacity) {
    size_t length = read_file("/proc/self/cmdline", out, capacity);
    return length > 0 && out[length - 1] == '\0' ? length - 1 : length;
}

void gv_sleep_ns(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}

bool gv_wait_exit(int pidfd, uint64_t ns) {
    struct pollfd descriptor = {.fd = pidfd, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return ppoll(&descriptor, 1, &time, NULL) > 0;
}
