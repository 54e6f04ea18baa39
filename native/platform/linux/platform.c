/* Linux: /dev/shm for segments, /proc for what is known of processes, the counter where the kernel itself trusts it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/platform.h"
#include "platform/posix/posix.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

/* The CPU says that it ticks at one rate in all power states; the kernel, by using it for its own clock, that it does
 * on all cores. */
bool gv_counter_is_invariant(void) {
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

int gv_folder(char *out, size_t capacity) {
    const char *base = "/dev/shm";
    if (access(base, W_OK | X_OK) != 0) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        base = runtime && runtime[0] == '/' ? runtime : "/tmp";
    }
    return gv_folder_in(base, out, capacity);
}

/* What the kernel says of a process behind its name, which may hold anything: first its state. NULL: nothing.
 * It is asked of the first thread, since emulators of other CPUs make up what it says of a process. */
static const char *read_stat(uint32_t pid, char *text, size_t capacity) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/task/%u/stat", pid, pid);
    text[read_file(path, text, capacity - 1)] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' ? name_end + 2 : NULL;
}

static uint64_t start_in(const char *stat) {
    for (int field = 3; stat && field < 22; field++) {
        stat = strchr(stat + 1, ' ');
    }
    return stat ? strtoull(stat, NULL, 10) : 0;
}

uint64_t gv_process_start(uint32_t pid) {
    char text[512];
    return start_in(read_stat(pid, text, sizeof text));
}

bool gv_process_gone(uint32_t pid, uint64_t start) {
    char text[512];
    const char *stat = read_stat(pid, text, sizeof text);
    return !stat || *stat == 'Z' || *stat == 'X' || (start && start_in(stat) != start);
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

void gv_flush(int fd) {
    (void)fd; /* the kernel writes it out within seconds, and tells the disk to */
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

void gv_populate(void *address, uint64_t length) {
    madvise(address, length, MADV_POPULATE_WRITE);
}

uint32_t gv_thread_id(void) {
    return (uint32_t)syscall(SYS_gettid);
}

size_t gv_executable(char *out, size_t capacity) {
    ssize_t length = readlink("/proc/self/exe", out, capacity);
    return length > 0 ? (size_t)length : 0;
}

size_t gv_command_line(char *out, size_t capacity) {
    size_t length = read_file("/proc/self/cmdline", out, capacity);
    return length > 0 && out[length - 1] == '\0' ? length - 1 : length;
}

bool gv_wait_exit(intptr_t process, uint64_t ns) {
    struct pollfd descriptor = {.fd = (int)process, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return ppoll(&descriptor, 1, &time, NULL) > 0;
}

/* What tells glibc whose function it is: should this library be unloaded, it is not to be called any more. */
extern void *__dso_handle __attribute__((weak, visibility("hidden")));

/* pthread_atfork is linked in with glibc, and then wants a name that musl does not have: neither is named. */
void gv_on_fork(void (*in_child)(void)) {
    typedef void handler(void);
    int (*of_glibc)(handler *, handler *, handler *, void *);
    int (*of_musl)(handler *, handler *, handler *);
    *(void **)&of_glibc = dlsym(RTLD_DEFAULT, "__register_atfork");
    *(void **)&of_musl = dlsym(RTLD_DEFAULT, "pthread_atfork");
    if (of_glibc) {
        of_glibc(NULL, NULL, in_child, &__dso_handle ? __dso_handle : NULL);
    } else if (of_musl) {
        of_musl(NULL, NULL, in_child);
    }
}
