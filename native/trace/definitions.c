/* GRAPH and PLACEMENT, encoded and decoded side by side. */
#include <string.h>

#include "trace/definitions.h"
#include "trace/varint.h"

uint8_t *gv_tensor_encode(const struct gv_tensor_row *row, const char *name, uint8_t *out) {
    out = gv_varint_put(out, row->name_length);
    memcpy(out, name, row->name_length);
    out += row->name_length;
    out = gv_varint_put(out, row->op);
    out = gv_varint_put(out, row->type);
    out = gv_varint_put(out, row->flags);
    for (int i = 0; i < 4; i++) {
        out = gv_varint_put(out, (uint64_t)row->ne[i]);
    }
    for (int i = 0; i < 4; i++) {
        out = gv_varint_put(out, row->nb[i]);
    }
    out = gv_varint_put(out, row->bytes);
    out = gv_varint_put(out, row->source_count);
    for (uint32_t i = 0; i < row->source_count; i++) {
        out = gv_varint_put(out, row->sources[i]);
    }
    out = gv_varint_put(out, row->view);
    if (row->view) {
        out = gv_varint_put(out, row->view_offset_bytes);
    }
    return out;
}

static bool tensor_decode(const uint8_t *body, const uint8_t **in, const uint8_t *end, struct gv_tensor_row *row) {
    memset(row, 0, sizeof *row);
    uint64_t ne;
    if (!gv_varint_get32(in, end, &row->name_length) || row->name_length > (size_t)(end - *in)) {
        return false;
    }
    row->name_offset = (uint32_t)(*in - body);
    *in += row->name_length;
    bool good = gv_varint_get32(in, end, &row->op) && gv_varint_get32(in, end, &row->type) &&
                gv_varint_get32(in, end, &row->flags);
    for (int i = 0; good && i < 4; i++) {
        good = gv_varint_get(in, end, &ne);
        row->ne[i] = good ? (int64_t)ne : 0;
    }
    for (int i = 0; good && i < 4; i++) {
        good = gv_varint_get(in, end, &row->nb[i]);
    }
    good = good && gv_varint_get(in, end, &row->bytes) && gv_varint_get32(in, end, &row->source_count) &&
           row->source_count <= GV_MAX_SOURCES;
    for (uint32_t i = 0; good && i < row->source_count; i++) {
        good = gv_varint_get32(in, end, &row->sources[i]);
    }
    return good && gv_varint_get32(in, end, &row->view) &&
           (!row->view || gv_varint_get(in, end, &row->view_offset_bytes));
}

static bool graph_head(const uint8_t **in, const uint8_t *end, struct gv_graph_head *out) {
    /* A tensor takes at least 14 bytes: a count beyond that is a lie. */
    return gv_varint_get32(in, end, &out->number) && gv_varint_get32(in, end, &out->runtime) &&
           gv_varint_get32(in, end, &out->nodes) && gv_varint_get32(in, end, &out->tensors) &&
           out->nodes <= out->tensors && out->tensors <= (size_t)(end - *in) / 14;
}

int gv_graph_head_decode(const uint8_t *body, size_t length, struct gv_graph_head *out) {
    const uint8_t *in = body;
    return graph_head(&in, body + length, out) ? 0 : -1;
}

int64_t gv_graph_tensors_decode(const uint8_t *body, size_t length, struct gv_tensor_row *out, size_t capacity) {
    const uint8_t *in = body, *end = body + length;
    struct gv_graph_head head;
    if (!graph_head(&in, end, &head)) {
        return -1;
    }
    if (head.tensors > capacity) {
        return -2;
    }
    for (uint32_t i = 0; i < head.tensors; i++) {
        struct gv_tensor_row *row = &out[i];
        if (!tensor_decode(body, &in, end, row) || row->view > head.tensors) {
            return -1;
        }
        for (uint32_t s = 0; s < row->source_count; s++) {
            if (row->sources[s] > head.tensors) {
                return -1;
            }
        }
    }
    return in == end ? (int64_t)head.tensors : -1;
}

int64_t gv_placement_body_decode(const uint8_t *body, size_t length, uint32_t head[2], uint32_t *buffers,
                                 uint64_t *offsets, size_t capacity) {
    const uint8_t *in = body, *end = body + length;
    uint32_t count;
    if (!gv_varint_get32(&in, end, &head[0]) || !gv_varint_get32(&in, end, &head[1]) ||
        !gv_varint_get32(&in, end, &count) || count > (size_t)(end - in)) {
        return -1;
    }
    if (count > capacity) {
        return -2;
    }
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = 0;
        if (!gv_varint_get32(&in, end, &buffers[i]) || (buffers[i] && !gv_varint_get(&in, end, &offsets[i]))) {
            return -1;
        }
    }
    return in == end ? (int64_t)count : -1;
}
