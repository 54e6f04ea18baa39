/* The encoding of records: what goes in comes out, and hostile bytes cause nothing but a refusal. */
#include "support.h"

#define MANY 64

/* Runs of nodes like those of a real trace, with anything between them. */
static size_t make_records(struct gv_record *out, uint64_t *seed) {
    size_t count = random_u64(seed) % (MANY + 1);
    for (size_t i = 0; i < count; i++) {
        out[i] = random_record(seed);
        if (i && random_u64(seed) % 2) {
            out[i].kind = GV_KIND_NODE;
            out[i].run = out[i - 1].run;
            out[i].detail = out[i - 1].detail;
            out[i].node.node = out[i - 1].node.node + 1;
        }
    }
    return count;
}

static size_t encode(const struct gv_record *records, size_t count, uint32_t ring, uint8_t *out) {
    extern int64_t gv_records_encode(uint32_t, const struct gv_record *, size_t, uint8_t *, size_t);
    size_t capacity = GV_RECORDS_HEAD_MAX + count * GV_RECORD_ENCODED_MAX;
    /* An allocation of exactly this size, so that a byte too far is seen. */
    uint8_t *exact = malloc(capacity);
    CHECK_EQUAL(gv_records_encode(ring, records, count, exact, capacity - 1), -2);
    int64_t length = gv_records_encode(ring, records, count, exact, capacity);
    CHECK(length > 0);
    memcpy(out, exact, (size_t)length);
    free(exact);
    return (size_t)length;
}

static void round_trip(uint64_t *seed) {
    struct gv_record records[MANY], back[MANY];
    uint8_t payload[GV_RECORDS_HEAD_MAX + MANY * GV_RECORD_ENCODED_MAX];
    size_t count = make_records(records, seed);
    size_t length = encode(records, count, (uint32_t)random_wide(seed), payload);
    CHECK_EQUAL(gv_payload_count(payload, length), count);
    CHECK_EQUAL(gv_payload_decode(payload, length, back, MANY), count);
    CHECK(memcmp(records, back, count * sizeof *records) == 0);
    if (count) {
        CHECK_EQUAL(gv_payload_decode(payload, length, back, count - 1), -2);
    }
    for (size_t cut = 0; cut < length; cut++) {
        CHECK_EQUAL(gv_payload_decode(payload, cut, back, MANY), -1);
    }
}

static void extremes(void) {
    struct gv_record records[2], back[2];
    uint8_t payload[256];
    memset(&records[0], 0xff, sizeof records[0]);
    memset(&records[1], 0, sizeof records[1]);
    for (uint8_t kind = 0; kind < 4; kind++) {
        records[0].kind = records[1].kind = kind;
        size_t length = encode(records, 2, UINT32_MAX, payload);
        CHECK_EQUAL(gv_payload_decode(payload, length, back, 2), 2);
        CHECK(memcmp(records, back, sizeof records) == 0);
    }
}

/* Whatever a mutated payload decodes to, it stays within its bytes and its capacity. */
static void fuzz(uint64_t *seed) {
    struct gv_record records[MANY];
    uint8_t payload[GV_RECORDS_HEAD_MAX + MANY * GV_RECORD_ENCODED_MAX];
    size_t count = make_records(records, seed), length = encode(records, count, 1, payload);
    for (int i = 0; i < 64; i++) {
        uint8_t *mutated = malloc(length);
        memcpy(mutated, payload, length);
        size_t left = random_u64(seed) % 4 ? length : random_u64(seed) % (length + 1);
        for (uint64_t n = random_u64(seed) % 8; n; n--) {
            mutated[random_u64(seed) % length] = (uint8_t)random_u64(seed);
        }
        uint8_t *exact = malloc(left);
        memcpy(exact, mutated, left);
        int64_t claimed = gv_payload_count(exact, left);
        CHECK(claimed < 0 || (size_t)claimed <= left / 3);
        struct gv_record *out = malloc((claimed > 0 ? (size_t)claimed : 1) * sizeof *out);
        int64_t decoded = gv_payload_decode(exact, left, out, claimed > 0 ? (size_t)claimed : 0);
        CHECK(decoded == -1 || decoded == claimed);
        free(out);
        free(exact);
        free(mutated);
    }
}

int main(void) {
    uint64_t seed = 2;
    extremes();
    for (int i = 0; i < 3000; i++) {
        round_trip(&seed);
    }
    for (int i = 0; i < 5000; i++) {
        fuzz(&seed);
    }
}
