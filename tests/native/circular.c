/* A circular file, whole whenever its writer is killed: every number of writes is tried. */
#include "trace/circular.h"
#include "support.h"
#include "trace/varint.h"

#define LIMIT 8192u
#define CHUNKS 400u
#define DEFINITIONS 20u

static const char path[] = "circular.ggmlviz";
static long writes_left;
static bool torn; /* the write that is the last, if it is more than a header, is cut in half */

static int64_t count_down(int fd, const void *data, size_t length, uint64_t offset) {
    if (writes_left-- <= 0) {
        if (writes_left == -1 && torn && length > 16) {
            CHECK(gv_file_write_at(fd, data, length / 2, offset) > 0);
        }
        return -EIO;
    }
    return gv_file_write_at(fd, data, length, offset);
}

/* Records `number` and on: their starts tell them. */
static size_t some_records(uint64_t number, size_t count, uint8_t *out) {
    struct gv_records_state state = {0};
    uint8_t *at = gv_varint_put(gv_varint_put(out, 0), count);
    for (size_t i = 0; i < count; i++) {
        struct gv_record record = {.start = number + i, .kind = GV_KIND_COPY};
        at = gv_record_encode(&state, &record, at);
    }
    return (size_t)(at - out);
}

struct seen {
    uint64_t written; /* records in chunks that were written to their end */
    unsigned definitions, clocks;
    int error;
};

static struct seen record_until_killed(void) {
    struct seen seen = {0};
    static uint8_t payload[4096];
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0666);
    struct gv_circular *circular = gv_circular_begin(fd, LIMIT, count_down, &seen.error);
    for (unsigned i = 0; i < CHUNKS && !seen.error; i++) {
        if (i % (CHUNKS / DEFINITIONS) == 0) {
            seen.error = gv_circular_chunk(circular, GV_CHUNK_DEFS, 1, 0, &i, 8 > sizeof i ? sizeof i : 8);
            seen.definitions += !seen.error;
        }
        if (i % 7 == 0 && !seen.error) {
            uint64_t clock[3] = {i, i, i};
            seen.error = gv_circular_chunk(circular, GV_CHUNK_CLOK, 1, 0, clock, sizeof clock);
            seen.clocks += !seen.error;
        }
        size_t count = 1 + mixed(i) % 40;
        size_t length = some_records(seen.written, count, payload);
        if (!seen.error) {
            seen.error = gv_circular_chunk(circular, GV_CHUNK_RECS, 1, seen.written + count - 1, payload, length);
            seen.written += seen.error ? 0 : count;
        }
    }
    if (circular) {
        CHECK(gv_circular_bytes(circular) <= LIMIT);
        gv_circular_free(circular);
    }
    close(fd);
    return seen;
}

/* Walks the file as the specification says. Returns its size. */
static size_t check_file(const struct seen *seen, bool at_end) {
    struct trace trace = trace_read(path);
    CHECK(trace.length <= LIMIT);
    uint64_t oldest = UINT64_MAX, newest = 0, present = 0, oldest_sequence = UINT64_MAX, latest = 0;
    unsigned definitions = 0, clocks = 0;
    bool first_clock = false;
    size_t at = 16;
    while (at < trace.length) {
        struct gv_chunk_header header;
        if (trace.length - at < sizeof header) {
            break;
        }
        memcpy(&header, trace.data + at, sizeof header);
        const uint8_t *payload = trace.data + at + sizeof header;
        bool pad = header.kind == GV_CHUNK_PAD;
        if (header.length > trace.length - at - sizeof header) {
            CHECK(!at_end);
            break; /* torn at the file's end */
        }
        CHECK_EQUAL(gv_crc32(gv_crc32(0, &header, 12), payload, pad ? 0 : header.length), header.crc);
        struct gv_circular_prefix prefix = {0};
        if (!pad) {
            memcpy(&prefix, payload, sizeof prefix);
            payload += sizeof prefix;
        }
        if (header.kind == GV_CHUNK_RECS) {
            struct gv_record records[64];
            int64_t n = gv_payload_decode(payload, header.length - sizeof prefix, records, 64);
            CHECK(n > 0);
            CHECK_EQUAL(records[0].start, prefix.records);
            if (prefix.sequence < oldest_sequence) {
                oldest_sequence = prefix.sequence;
                latest = prefix.latest;
            }
            oldest = records[0].start < oldest ? records[0].start : oldest;
            newest = records[n - 1].start > newest ? records[n - 1].start : newest;
            present += (uint64_t)n;
        }
        if (header.kind == GV_CHUNK_CLOK) {
            uint64_t clock;
            memcpy(&clock, payload, sizeof clock);
            first_clock |= clock == 0;
            clocks++;
        }
        definitions += header.kind == GV_CHUNK_DEFS;
        at += (sizeof header + header.length + 15) / 16 * 16;
    }
    free(trace.data);
    CHECK(definitions >= seen->definitions);
    CHECK(!seen->clocks || first_clock);
    CHECK(clocks >= (seen->clocks > 2 ? 2 : seen->clocks));
    if (seen->written) {
        CHECK(newest + 1 >= seen->written);         /* the newest are there, */
        CHECK_EQUAL(newest - oldest + 1, present);  /* without a gap, */
        CHECK(oldest == 0 || latest == oldest - 1); /* and it is told which are not */
    }
    return trace.length;
}

static void kill_everywhere(void) {
    writes_left = 1000000;
    struct seen seen = record_until_killed();
    CHECK_EQUAL(seen.error, 0);
    CHECK(check_file(&seen, true) >= LIMIT / 20 * 19);
    long writes = 1000000 - writes_left;
    CHECK(writes > 500);
    for (long k = 1; k < writes; k++) {
        for (int half = 0; half < 2; half++) {
            writes_left = k;
            torn = half;
            seen = record_until_killed();
            check_file(&seen, false);
        }
    }
}

/* Definitions that fill the file end the recording, and what is there stays. */
static void no_room(void) {
    writes_left = 1000000;
    int error = 0, fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0666);
    static uint8_t payload[4096];
    struct gv_circular *circular = gv_circular_begin(fd, LIMIT, count_down, &error);
    struct seen seen = {.written = 10};
    CHECK_EQUAL(gv_circular_chunk(circular, GV_CHUNK_RECS, 1, 9, payload, some_records(0, 10, payload)), 0);
    memset(payload, 0, sizeof payload);
    while ((error = gv_circular_chunk(circular, GV_CHUNK_DEFS, 1, 0, payload, 1000)) == 0) {
        seen.definitions++;
    }
    CHECK_EQUAL(error, EFBIG);
    CHECK_EQUAL(seen.definitions, 7);
    gv_circular_free(circular);
    close(fd);
    check_file(&seen, true);
}

int main(void) {
    kill_everywhere();
    no_room();
    unlink(path);
}
