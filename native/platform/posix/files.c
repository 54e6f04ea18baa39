/* Files: traces as they are written, and settings as they are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/platform.h"

#define MAX_PARTS 4

int gv_file_open(const char *path, enum gv_opening opening) {
    static const int flags[] = {
        [GV_FILE_FRESH] = O_WRONLY | O_APPEND | O_TRUNC,
        [GV_FILE_ANYWHERE] = O_WRONLY | O_TRUNC,
        [GV_FILE_JOINED] = O_RDWR | O_APPEND,
    };
    int fd = open(path, O_CREAT | O_CLOEXEC | flags[opening], 0666);
    return fd < 0 ? -errno : fd;
}

int gv_file_append(int fd, const struct gv_part *parts, int count) {
    struct iovec pieces[MAX_PARTS];
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        pieces[i] = (struct iovec){.iov_base = (void *)parts[i].data, .iov_len = parts[i].length};
        total += parts[i].length;
    }
    ssize_t written;
    do {
        written = writev(fd, pieces, count);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)total) {
        return 0;
    }
    int error = errno;
    if (written >= 0) {
        /* Only another write tells why this one was cut short. */
        ssize_t more = write(fd, "", 1);
        error = more < 0 ? errno : ENOSPC;
        written += more > 0 ? more : 0;
    }
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (written > 0 && end >= written && ftruncate(fd, end - written) != 0) {
        return error; /* what was torn stays */
    }
    return error;
}

int64_t gv_file_read_at(int fd, void *out, size_t length, uint64_t offset) {
    ssize_t got;
    do {
        got = pread(fd, out, length, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int64_t gv_file_write_at(int fd, const void *data, size_t length, uint64_t offset) {
    ssize_t written;
    do {
        written = pwrite(fd, data, length, (off_t)offset);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

int gv_file_cut(int fd, uint64_t size) {
    return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

bool gv_file_lock(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void gv_file_unlock(int fd) {
    flock(fd, LOCK_UN);
}

bool gv_file_read_own(const char *path, char *out, size_t capacity) {
    /* Not waiting for what may be a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0) {
        return false;
    }
    bool good = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
                status.st_size >= 0 && (size_t)status.st_size < capacity;
    size_t length = 0;
    while (good && length < capacity - 1) {
        int64_t got = gv_file_read_at(fd, out + length, capacity - 1 - length, length);
        good = got >= 0;
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
    }
    close(fd);
    out[length] = '\0';
    return good;
}

bool gv_file_exists(const char *path) {
    return access(path, R_OK) == 0;
}

bool gv_file_rename(const char *from, const char *to) {
    return rename(from, to) == 0;
}

void gv_file_remove(const char *path) {
    unlink(path);
}
