/* The encoding of records: consecutive nodes of one thread cost eight to ten bytes instead of 32. */
#include <string.h>

#include "trace/records.h"
#include "trace/varint.h"

#define TAG_KIND 0x03u
#define TAG_SAME_RUN 0x04u
#define TAG_SAME_WORKER 0x08u
#define TAG_NEXT_NODE 0x10u
#define TAG_SHIFT 0x20u

static uint64_t record_end(const struct gv_record *record) {
    if (record->kind != GV_KIND_NODE) {
        return record->start;
    }
    uint64_t duration = (uint64_t)record->node.work + record->node.inner + record->node.wait;
    return record->start + (duration << (record->shift & 0x0f));
}

uint8_t *gv_record_encode(struct gv_records_state *state, const struct gv_record *record, uint8_t *out) {
    bool is_node = record->kind == GV_KIND_NODE;
    uint8_t tag = record->kind & TAG_KIND;
    if (record->run == state->run) {
        tag |= TAG_SAME_RUN;
    }
    if (is_node && record->detail == state->worker) {
        tag |= TAG_SAME_WORKER;
    }
    if (is_node && record->node.node == state->node + 1) {
        tag |= TAG_NEXT_NODE;
    }
    if (record->shift) {
        tag |= TAG_SHIFT;
    }
    *out++ = tag;
    if (record->shift) {
        *out++ = record->shift;
    }
    if (!(tag & TAG_SAME_RUN)) {
        out = gv_varint_put(out, gv_zigzag((uint64_t)record->run - state->run));
    }
    out = gv_varint_put(out, gv_zigzag(record->start - state->end));
    if (is_node) {
        if (!(tag & TAG_SAME_WORKER)) {
            out = gv_varint_put(out, record->detail);
        }
        if (!(tag & TAG_NEXT_NODE)) {
            out = gv_varint_put(out, gv_zigzag((uint64_t)record->node.node - state->node));
        }
        out = gv_varint_put(out, record->node.work);
        out = gv_varint_put(out, record->node.inner);
        out = gv_varint_put(out, record->node.wait);
        state->worker = record->detail;
        state->node = record->node.node;
    } else {
        uint32_t words[4];
        memcpy(words, &record->node, sizeof words);
        out = gv_varint_put(out, record->detail);
        for (int i = 0; i < 4; i++) {
            out = gv_varint_put(out, words[i]);
        }
    }
    state->run = record->run;
    state->end = record_end(record);
    return out;
}

static bool record_decode(struct gv_records_state *state, const uint8_t **in, const uint8_t *end,
                          struct gv_record *record) {
    if (*in >= end) {
        return false;
    }
    uint8_t tag = *(*in)++;
    if (tag & 0xc0u) {
        return false;
    }
    memset(record, 0, sizeof *record);
    record->kind = tag & TAG_KIND;
    bool is_node = record->kind == GV_KIND_NODE;
    if (!is_node && (tag & (TAG_SAME_WORKER | TAG_NEXT_NODE))) {
        return false;
    }
    if (tag & TAG_SHIFT) {
        if (*in >= end) {
            return false;
        }
        record->shift = *(*in)++;
    }
    uint64_t value;
    record->run = state->run;
    if (!(tag & TAG_SAME_RUN)) {
        if (!gv_varint_get(in, end, &value)) {
            return false;
        }
        record->run = (uint32_t)(state->run + gv_unzigzag(value));
    }
    if (!gv_varint_get(in, end, &value)) {
        return false;
    }
    record->start = state->end + gv_unzigzag(value);
    uint32_t detail = state->worker;
    if (is_node) {
        if (!(tag & TAG_SAME_WORKER) && !gv_varint_get32(in, end, &detail)) {
            return false;
        }
        record->node.node = state->node + 1;
        if (!(tag & TAG_NEXT_NODE)) {
            if (!gv_varint_get(in, end, &value)) {
                return false;
            }
            record->node.node = (uint32_t)(state->node + gv_unzigzag(value));
        }
        if (!gv_varint_get32(in, end, &record->node.work) || !gv_varint_get32(in, end, &record->node.inner) ||
            !gv_varint_get32(in, end, &record->node.wait)) {
            return false;
        }
    } else {
        uint32_t words[4];
        if (!gv_varint_get32(in, end, &detail)) {
            return false;
        }
        for (int i = 0; i < 4; i++) {
            if (!gv_varint_get32(in, end, &words[i])) {
                return false;
            }
        }
        memcpy(&record->node, words, sizeof words);
    }
    if (detail > UINT16_MAX) {
        return false;
    }
    record->detail = (uint16_t)detail;
    if (is_node) {
        state->worker = record->detail;
        state->node = record->node.node;
    }
    state->run = record->run;
    state->end = record_end(record);
    return true;
}

static bool payload_head(const uint8_t **in, const uint8_t *end, uint64_t *count) {
    uint64_t ring;
    /* A record takes at least three bytes: a count beyond that is a lie. */
    return gv_varint_get(in, end, &ring) && gv_varint_get(in, end, count) && *count <= (uint64_t)(end - *in) / 3;
}

int64_t gv_payload_count(const uint8_t *payload, size_t length) {
    const uint8_t *in = payload;
    uint64_t count;
    return payload_head(&in, payload + length, &count) ? (int64_t)count : -1;
}

int64_t gv_payload_decode(const uint8_t *payload, size_t length, struct gv_record *out, size_t capacity) {
    const uint8_t *in = payload, *end = payload + length;
    uint64_t count;
    if (!payload_head(&in, end, &count)) {
        return -1;
    }
    if (count > capacity) {
        return -2;
    }
    struct gv_records_state state = {0};
    for (uint64_t i = 0; i < count; i++) {
        if (!record_decode(&state, &in, end, &out[i])) {
            return -1;
        }
    }
    return in == end ? (int64_t)count : -1;
}
