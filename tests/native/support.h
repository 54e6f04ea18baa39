/* What the native tests share: checks, random numbers, segments made by hand, and reading a trace back. */
#ifndef GV_TEST_SUPPORT_H
#define GV_TEST_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/platform.h"
#include "ring/reader.h"
#include "ring/ring.h"
#include "trace/crc.h"
#include "trace/format.h"
#include "trace/records.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_EQUAL(a, b)                                                                                              \
    do {                                                                                                               \
        long long left_ = (long long)(a), right_ = (long long)(b);                                                     \
        if (left_ != right_) {                                                                                         \
            fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #a, left_, #b, right_);             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#ifdef __SANITIZE_THREAD__
#define SLOWNESS 10 /* by how much less a test does where everything takes so much longer */
#else
#define SLOWNESS 1
#endif

/* --- random numbers: the same at every run --- */

static inline uint64_t mixed(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static inline uint64_t random_u64(uint64_t *state) {
    return mixed((*state)++);
}

/* Of any magnitude: small numbers and the largest are as likely as those between. */
static inline uint64_t random_wide(uint64_t *state) {
    uint64_t bits = random_u64(state) % 66;
    return bits == 65 ? UINT64_MAX : bits ? random_u64(state) >> (64 - (bits < 64 ? bits : 64)) : 0;
}

/* A record with fields of any magnitude, as a program may cause it. */
static inline struct gv_record random_record(uint64_t *state) {
    struct gv_record record = {
        .start = random_wide(state),
        .kind = (uint8_t)(random_u64(state) % 4),
        .shift = (uint8_t)(random_u64(state) % 4 ? 0 : random_u64(state)),
        .detail = (uint16_t)(random_u64(state) % 2 ? random_u64(state) % 4 : random_u64(state)),
        .run = (uint32_t)random_wide(state),
    };
    uint32_t words[4];
    for (int i = 0; i < 4; i++) {
        words[i] = (uint32_t)random_wide(state);
    }
    memcpy(&record.node, words, sizeof words);
    return record;
}

/* --- a segment made by hand --- */

/* Makes a segment at `path` with a log of a page and opens it. */
static inline struct gv_view make_segment(const char *path, uint32_t rings, uint32_t ring_records, uint32_t pid) {
    uint64_t log_offset = GV_PAGE + (rings * sizeof(struct gv_ring) + GV_PAGE - 1) / GV_PAGE * GV_PAGE;
    uint64_t size = log_offset + GV_PAGE + (uint64_t)rings * ring_records * sizeof(struct gv_record);
    int fd = gv_segment_create(path, size);
    CHECK(fd >= 0);
    struct gv_segment *s = gv_map(fd, size);
    CHECK(s);
    memcpy(s->magic, GV_SEGMENT_MAGIC, sizeof s->magic);
    s->version = GV_SEGMENT_VERSION;
    s->pid = pid;
    s->size = size;
    s->ring_count = rings;
    s->ring_records = ring_records;
    s->rings_offset = GV_PAGE;
    s->log_offset = log_offset;
    s->log_capacity = GV_PAGE;
    s->records_offset = log_offset + GV_PAGE;
    s->start_ticks = s->start_monotonic_ns = s->start_wall_ns = 1;
    struct gv_ring *ring = (struct gv_ring *)((uint8_t *)s + GV_PAGE);
    for (uint32_t i = 0; i < rings; i++) {
        atomic_store(&ring[i].current.node, GV_NO_NODE);
    }
    atomic_store(&s->ready, 1);
    gv_unmap(s, size);
    gv_close(fd);
    struct gv_view view;
    CHECK_EQUAL(gv_view_open(&view, path, true), 0);
    return view;
}

static inline void put(const struct gv_view *view, uint32_t ring, const struct gv_record *record) {
    uint64_t capacity = view->segment->ring_records;
    gv_ring_put(&view->rings[ring], view->records + ring * capacity, capacity - 1, record);
}

static inline void define(const struct gv_view *view, uint16_t kind, const char *body) {
    uint64_t tail = atomic_load(&view->segment->log_tail);
    uint32_t length = (uint32_t)(sizeof(struct gv_definition_header) + strlen(body) + 7) / 8 * 8;
    struct gv_definition_header header = {
        .length = length, .kind = kind, .padding = (uint16_t)(length - sizeof header - strlen(body))};
    uint8_t *at = (uint8_t *)view->log + tail;
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, body, strlen(body));
    atomic_store(&view->segment->log_tail, tail + length);
}

/* --- a trace read back --- */

struct trace {
    uint8_t *data;
    size_t length;
};

static inline struct trace trace_read(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    struct trace trace = {malloc((size_t)status.st_size + 1), (size_t)status.st_size};
    CHECK_EQUAL(read(fd, trace.data, trace.length), status.st_size);
    close(fd);
    CHECK(trace.length >= 16 && memcmp(trace.data, GV_TRACE_MAGIC, 8) == 0);
    return trace;
}

/* The chunk at *at, moving it behind; false at the file's end. A chunk that is not whole ends the test. */
static inline bool trace_next(const struct trace *trace, size_t *at, struct gv_chunk_header *header,
                              const uint8_t **payload) {
    *at = *at ? *at : 16;
    if (*at == trace->length) {
        return false;
    }
    CHECK(trace->length - *at >= sizeof *header);
    memcpy(header, trace->data + *at, sizeof *header);
    *payload = trace->data + *at + sizeof *header;
    CHECK(header->length <= trace->length - *at - sizeof *header);
    CHECK_EQUAL(gv_crc32(gv_crc32(0, header, 12), *payload, header->length), header->crc);
    *at += sizeof *header + header->length;
    return true;
}

/* All records of the file, in the order in which they lie there. */
static inline struct gv_record *trace_records(const struct trace *trace, size_t *count) {
    struct gv_record *records = NULL;
    struct gv_chunk_header header;
    const uint8_t *payload;
    *count = 0;
    for (size_t at = 0; trace_next(trace, &at, &header, &payload);) {
        if (header.kind == GV_CHUNK_RECS) {
            int64_t n = gv_payload_count(payload, header.length);
            CHECK(n >= 0);
            records = realloc(records, (*count + (size_t)n) * sizeof *records);
            CHECK_EQUAL(gv_payload_decode(payload, header.length, records + *count, (size_t)n), n);
            *count += (size_t)n;
        }
    }
    return records;
}

/* The payload of the last chunk of a kind; aborts if there is none or it has another length. */
static inline void trace_last(const struct trace *trace, uint32_t kind, void *out, size_t length) {
    struct gv_chunk_header header;
    const uint8_t *payload;
    bool found = false;
    for (size_t at = 0; trace_next(trace, &at, &header, &payload);) {
        if (header.kind == kind) {
            CHECK_EQUAL(header.length, length);
            memcpy(out, payload, length);
            found = true;
        }
    }
    CHECK(found);
}

#endif
