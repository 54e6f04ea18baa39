/* Segments as mapped files: flock tells a live one from a stale one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/platform.h"
#include "platform/posix/posix.h"

int gv_folder_in(const char *base, char *out, size_t capacity) {
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

bool gv_segment_abandoned(int fd, uint32_t pid, uint64_t start) {
    /* Both are asked: a program may close descriptors that it did not open, and a process may live in a
     * namespace where its number means another one. */
    if (!gv_process_gone(pid, start)) {
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
