/* Appending chunks: one system call each, in append mode, so that several processes can share a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/platform.h"
#include "trace/crc.h"
#include "trace/format.h"
#include "trace/writer.h"

static int open_file(struct gv_writer *writer, const char *path, int flags) {
    memset(writer, 0, sizeof *writer);
    writer->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | flags, 0666);
    writer->error = writer->fd < 0 ? errno : 0;
    return writer->error;
}

/* Writes all parts or nothing. */
static void append(struct gv_writer *writer, struct iovec *parts, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += parts[i].iov_len;
    }
    ssize_t written;
    do {
        written = writev(writer->fd, parts, count);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)total) {
        writer->bytes += total;
        return;
    }
    writer->error = written < 0 ? errno : ENOSPC;
    off_t end = lseek(writer->fd, 0, SEEK_CUR);
    if (written > 0 && end >= written && ftruncate(writer->fd, end - written) != 0) {
        /* The torn chunk stays; a reader stops before it. */
        return;
    }
}

/* The header, followed by `group` in a GRUP chunk unless it is 0: in one write, so that nobody sees half. */
static void write_header(struct gv_writer *writer, uint32_t group) {
    struct gv_file_header header = {.version = GV_TRACE_VERSION};
    memcpy(header.magic, GV_TRACE_MAGIC, sizeof header.magic);
    struct gv_chunk_header chunk = {.kind = GV_CHUNK_GRUP, .length = sizeof group};
    chunk.crc = gv_crc32(gv_crc32(0, &chunk, offsetof(struct gv_chunk_header, crc)), &group, sizeof group);
    struct iovec parts[] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = &chunk, .iov_len = sizeof chunk},
        {.iov_base = &group, .iov_len = sizeof group},
    };
    append(writer, parts, group ? 3 : 1);
}

int gv_writer_create(struct gv_writer *writer, const char *path) {
    if (open_file(writer, path, O_TRUNC) == 0) {
        write_header(writer, 0);
    }
    return writer->error;
}

enum owner { OWNER_UNKNOWN, OWNER_GROUP, OWNER_OTHER_TRACE, OWNER_NO_TRACE };

/* Whose file this is. A trace that another process is just creating is still empty for a moment. */
static enum owner owner_of(const char *path, uint32_t group) {
    struct {
        struct gv_file_header file;
        struct gv_chunk_header chunk;
        uint32_t group;
    } head;
    for (int tries = 0; tries < 50; tries++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, &head, sizeof head) : 0;
        gv_close(fd);
        if (length >= (ssize_t)sizeof head.file) {
            if (memcmp(head.file.magic, GV_TRACE_MAGIC, sizeof head.file.magic) != 0) {
                return OWNER_NO_TRACE;
            }
            bool same = length == (ssize_t)sizeof head && head.chunk.kind == GV_CHUNK_GRUP &&
                        head.chunk.length == sizeof group && head.group == group;
            return same ? OWNER_GROUP : OWNER_OTHER_TRACE;
        }
        if (length > 0) {
            return OWNER_NO_TRACE;
        }
        gv_sleep_ns(1000000);
    }
    return OWNER_UNKNOWN;
}

int gv_writer_join(struct gv_writer *writer, const char *path) {
    uint32_t group = gv_process_group();
    if (open_file(writer, path, O_EXCL) == EEXIST) {
        switch (owner_of(path, group)) {
        case OWNER_GROUP:
            return open_file(writer, path, 0);
        case OWNER_NO_TRACE:
            return EEXIST;
        default:
            open_file(writer, path, O_TRUNC);
        }
    }
    if (!writer->error) {
        write_header(writer, group);
    }
    return writer->error;
}

void gv_writer_chunk(struct gv_writer *writer, uint32_t kind, uint32_t process, const void *payload, size_t length) {
    if (writer->error || writer->fd < 0) {
        return;
    }
    struct gv_chunk_header header = {.kind = kind, .process = process, .length = (uint32_t)length};
    header.crc = gv_crc32(gv_crc32(0, &header, offsetof(struct gv_chunk_header, crc)), payload, length);
    struct iovec parts[] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = (void *)payload, .iov_len = length},
    };
    append(writer, parts, length ? 2 : 1);
}

void gv_writer_close(struct gv_writer *writer) {
    gv_close(writer->fd);
    writer->fd = -1;
}
