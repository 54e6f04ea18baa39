/* Appending chunks: each in one step, so that several processes can share a file. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "platform/platform.h"
#include "trace/circular.h"
#include "trace/crc.h"
#include "trace/format.h"
#include "trace/writer.h"

static int open_file(struct gv_writer *writer, const char *path, enum gv_opening opening) {
    memset(writer, 0, sizeof *writer);
    writer->fd = gv_file_open(path, opening);
    writer->error = writer->fd < 0 ? -writer->fd : 0;
    return writer->error;
}

static void append(struct gv_writer *writer, const struct gv_part *parts, int count) {
    writer->error = gv_file_append(writer->fd, parts, count);
    for (int i = 0; !writer->error && i < count; i++) {
        writer->bytes += parts[i].length;
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
    struct gv_part parts[] = {{&header, sizeof header}, {&chunk, sizeof chunk}, {&group, sizeof group}};
    append(writer, parts, group ? 3 : 1);
}

int gv_writer_create(struct gv_writer *writer, const char *path) {
    if (open_file(writer, path, GV_FILE_FRESH) == 0) {
        write_header(writer, 0);
    }
    return writer->error;
}

int gv_writer_create_circular(struct gv_writer *writer, const char *path, uint64_t max_bytes) {
    if (open_file(writer, path, GV_FILE_ANYWHERE) == 0) {
        writer->circular = gv_circular_begin(writer->fd, max_bytes, gv_file_write_at, &writer->error);
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
    struct {
        struct gv_file_header file;
        struct gv_chunk_header chunk;
        uint32_t group;
    } head;
    int64_t length = gv_file_read_at(fd, &head, sizeof head, 0);
    if (length <= 0) {
        return OWNER_NOBODY; /* also of what is no regular file */
    }
    if (length < (int64_t)sizeof head.file || memcmp(head.file.magic, GV_TRACE_MAGIC, sizeof head.file.magic) != 0) {
        return OWNER_NO_TRACE;
    }
    bool same = length == (int64_t)sizeof head && head.chunk.kind == GV_CHUNK_GRUP &&
                head.chunk.length == sizeof group && head.group == group;
    return same ? OWNER_GROUP : OWNER_OTHER_TRACE;
}

int gv_writer_join(struct gv_writer *writer, const char *path) {
    uint32_t group = gv_process_group();
    if (open_file(writer, path, GV_FILE_JOINED)) {
        return writer->error;
    }
    /* Processes of one job often start together: one of them begins the file, and the others find it begun. One that
     * was stopped meanwhile must not hold up the others for long. */
    for (int tries = 0; !gv_file_lock(writer->fd); tries++) {
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
        writer->error = -gv_file_cut(writer->fd, 0);
        if (writer->error) {
            break;
        }
        /* fall through */
    case OWNER_NOBODY:
        write_header(writer, group);
    }
    gv_file_unlock(writer->fd);
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
    struct gv_part parts[] = {{&header, sizeof header}, {payload, length}};
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
