/* Decoding of chunks for Python: the functions of trace/ under their exported names. */
#include "core/core.h"
#include "platform/clock.h"
#include "platform/platform.h"
#include "trace/records.h"
#include "trace/varint.h"

int64_t gv_records_count(const uint8_t *payload, size_t length) {
    return gv_payload_count(payload, length);
}

int64_t gv_records_decode(const uint8_t *payload, size_t length, struct gv_record *out, size_t capacity) {
    return gv_payload_decode(payload, length, out, capacity);
}

int64_t gv_records_encode(uint32_t ring, const struct gv_record *records, size_t count, uint8_t *out, size_t capacity) {
    if (capacity < GV_RECORDS_HEAD_MAX || (capacity - GV_RECORDS_HEAD_MAX) / GV_RECORD_ENCODED_MAX < count) {
        return GV_E_SPACE;
    }
    struct gv_records_state state = {0};
    uint8_t *at = gv_varint_put(gv_varint_put(out, ring), count);
    for (size_t i = 0; i < count; i++) {
        at = gv_record_encode(&state, &records[i], at);
    }
    return at - out;
}

int gv_graph_head(const uint8_t *body, size_t length, struct gv_graph_head *out) {
    return gv_graph_head_decode(body, length, out);
}

int64_t gv_graph_decode(const uint8_t *body, size_t length, struct gv_tensor_row *out, size_t capacity) {
    return gv_graph_tensors_decode(body, length, out, capacity);
}

int64_t gv_placement_decode(const uint8_t *body, size_t length, uint32_t head[2], uint32_t *buffers, uint64_t *offsets,
                            size_t capacity) {
    return gv_placement_body_decode(body, length, head, buffers, offsets, capacity);
}

int gv_segments_folder(char *out, size_t capacity) {
    return gv_folder(out, capacity);
}

int gv_clock_now(uint64_t out[3]) {
    gv_clock_sample(out);
    return gv_clock_chosen;
}
