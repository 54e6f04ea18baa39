/* Appending chunks: one system call each, in append mode, so that several processes can share a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/platform.h"
#include "trace/circular.h"
#include "trace/crc.h"
#include "trace/format.h"
#include "trace/writer.h"

static int open_file(struct gv_writer *writer, const char *path, int flags) {
    memset(writer, 0, sizeof *writer);
    writer->fd = open(path, O_CREAT | O_CLOEXEC | flags, 0666);
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
    if (written >= 0) {
        /* Only another write tells why this one was cut short. */
        ssize_t more = write(writer->fd, "", 1);
        writer->error = more < 0 ? errno : ENOSPC;
        written += more > 0 ? more : 0;
    } else {
        writer->error = errno;
    }
    off_t end = lseek(writer->fd, 0, SEEK_CUR);
    if (written > 0 && end >= written && ftruncate(writer->fd, end - written) != 0) {
        return; /* the torn chunk stays; a reader stops before it */
    }
}

static struct gv_chunk_header chunk_header(uint32_t kind, uint32_t process, const void *payload, size_t length) {
    struct gv_chunk_header header = {.kind = kind, .process = process, .length = (uint32_t)length};
    header.crc = gv_crc32(gv_crc32(0, &header, offsetof(struct gv_chunk_header, crc)), payload, length);
    return header;
}

/* The header, followed by `group` in a GRUP chunk unless it is 0: in one write, so that nobody sees half. */
static void write_header(struct gv_writer *writer, uint32_t group) {
    struct gv_file_header header = {.version = GV_TRACE_VERSION};
    memcpy(header.magic, GV_TRACE_MAGIC, sizeof header.magic);
    struct gv_chunk_header chunk = chunk_header(GV_CHUNK_GRUP, 0, &group, sizeof group);
    struct iovec parts[] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = &chunk, .iov_len = sizeof chunk},
        {.iov_base = &group, .iov_len = sizeof group},
    };
    append(writer, parts, group ? 3 : 1);
}

int gv_writer_create(struct gv_writer *writer, const char *path) {
    if (open_file(writer, path, O_APPEND | O_WRONLY | O_TRUNC) == 0) {
        write_header(writer, 0);
    }
    return writer->error;
}

int gv_writer_create_circular(struct gv_writer *writer, const char *path, uint64_t max_bytes) {
    if (open_file(writer, path, O_WRONLY | O_TRUNC) == 0) {
        writer->circular = gv_circular_begin(writer->fd, max_bytes, pwrite, &writer->error);
        if (writer->error) {
            gv_writer_close(writer);
        } else {
            writer->bytes = gv_circular_bytes(writer->circular);
        }
    }
    return writer->error;
}

enum owner { OWNER_NOBODY, OWNER_GROUP, OWNER_OTHER_TRACE, OWNER_NO_TRACE };

/* Whose file this is. */
static enum owner owner_of(int fd, uint32_t group) {
    struct stat status;
    struct {
        struct gv_file_header file;
        struct gv_chunk_header chunk;
        uint32_t group;
    } head;
    ssize_t length = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? pread(fd, &head, sizeof head, 0) : 0;
    if (length == 0) {
        return OWNER_NOBODY;
    }
    if (length < (ssize_t)sizeof head.file || memcmp(head.file.magic, GV_TRACE_MAGIC, sizeof head.file.magic) != 0) {
        return OWNER_NO_TRACE;
    }
    bool same = length == (ssize_t)sizeof head && head.chunk.kind == GV_CHUNK_GRUP &&
                head.chunk.length == sizeof group && head.group == group;
    return same ? OWNER_GROUP : OWNER_OTHER_TRACE;
}

int gv_writer_join(struct gv_writer *writer, const char *path) {
    uint32_t group = gv_process_group();
    if (open_file(writer, path, O_APPEND | O_RDWR)) {
        return writer->error;
    }
    /* Processes of one job often start together: one of them begins the file, and the others find it begun. One that
     * was stopped meanwhile must not hold up the others for long. */
    for (int tries = 0; flock(writer->fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == 100) {
            writer->error = EBUSY;
            gv_writer_close(writer);
            return writer->error;
        }
        gv_sleep_ns(1000000);
    }
    switch (owner_of(writer->fd, group)) {
    case OWNER_GROUP:
        break;
    case OWNER_NO_TRACE:
        writer->error = EEXIST;
        break;
    case OWNER_OTHER_TRACE:
        if (ftruncate(writer->fd, 0) != 0) {
            writer->error = errno;
            break;
        }
        /* fall through */
    case OWNER_NOBODY:
        write_header(writer, group);
    }
    flock(writer->fd, LOCK_UN);
    if (writer->error) {
        gv_writer_close(writer);
    }
    return writer->error;
}

static void write_chunk(struct gv_writer *writer, uint32_t kind, uint32_t process, uint64_t latest, const void *payload,
                        size_t length) {
    if (writer->error || writer->fd < 0) {
        return;
    }
    if (writer->circular) {
        writer->error = gv_circular_chunk(writer->circular, kind, process, latest, payload, length);
        writer->bytes = gv_circular_bytes(writer->circular);
        return;
    }
    struct gv_chunk_header header = chunk_header(kind, process, payload, length);
    struct iovec parts[] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = (void *)payload, .iov_len = length},
    };
    append(writer, parts, length ? 2 : 1);
}

void gv_writer_chunk(struct gv_writer *writer, uint32_t kind, uint32_t process, const void *payload, size_t length) {
    write_chunk(writer, kind, process, 0, payload, length);
}

void gv_writer_records(struct gv_writer *writer, uint32_t process, uint64_t latest, const void *payload,
                       size_t length) {
    write_chunk(writer, GV_CHUNK_RECS, process, latest, payload, length);
}

void gv_writer_close(struct gv_writer *writer) {
    if (writer->circular) {
        gv_circular_free(writer->circular);
        writer->circular = NULL;
    }
    gv_close(writer->fd);
    writer->fd = -1;
}
