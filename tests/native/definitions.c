/* GRAPH and PLACEMENT: what goes in comes out, and hostile bytes cause nothing but a refusal. */
#include "trace/definitions.h"
#include "support.h"
#include "trace/varint.h"

#define TENSORS 12
#define CAPACITY 8192

static size_t make_graph(struct gv_tensor_row *rows, char names[TENSORS][256], uint32_t count, uint8_t *out,
                         uint64_t *seed) {
    uint8_t *at = out;
    at = gv_varint_put(at, 7);
    at = gv_varint_put(at, 1);
    at = gv_varint_put(at, count / 2);
    at = gv_varint_put(at, count);
    memset(rows, 0, TENSORS * sizeof *rows);
    for (uint32_t i = 0; i < count; i++) {
        struct gv_tensor_row *row = &rows[i];
        for (int k = 0; k < 4; k++) {
            row->ne[k] = (int64_t)random_wide(seed);
            row->nb[k] = random_wide(seed);
        }
        row->bytes = random_wide(seed);
        row->op = (uint32_t)random_wide(seed);
        row->type = (uint32_t)random_wide(seed);
        row->flags = (uint32_t)random_wide(seed);
        row->view = (uint32_t)(random_u64(seed) % (count + 1));
        row->view_offset_bytes = row->view ? random_wide(seed) : 0;
        row->source_count = (uint32_t)(random_u64(seed) % (GV_MAX_SOURCES + 1));
        for (uint32_t s = 0; s < row->source_count; s++) {
            row->sources[s] = (uint32_t)(random_u64(seed) % (count + 1));
        }
        row->name_length = (uint32_t)(random_u64(seed) % 256);
        memset(names[i], 'a' + (int)(i % 26), row->name_length);
        uint8_t *end = gv_tensor_encode(row, names[i], at);
        CHECK((size_t)(end - at) <= GV_TENSOR_ENCODED_MAX + row->name_length);
        at = end;
    }
    return (size_t)(at - out);
}

static size_t make_placement(uint32_t *buffers, uint64_t *offsets, uint32_t count, uint8_t *out, uint64_t *seed) {
    uint8_t *at = gv_varint_put(gv_varint_put(gv_varint_put(out, 9), 7), count);
    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = random_u64(seed) % 3 ? (uint32_t)random_wide(seed) : 0;
        offsets[i] = buffers[i] ? random_wide(seed) : 0;
        at = gv_varint_put(at, buffers[i]);
        at = buffers[i] ? gv_varint_put(at, offsets[i]) : at;
    }
    return (size_t)(at - out);
}

static void decode_graph_like_python(const uint8_t *body, size_t length) {
    struct gv_graph_head head;
    if (gv_graph_head_decode(body, length, &head) == 0) {
        CHECK(head.tensors <= length);
        struct gv_tensor_row *rows = malloc((head.tensors + 1) * sizeof *rows);
        int64_t count = gv_graph_tensors_decode(body, length, rows, head.tensors);
        CHECK(count == -1 || count == head.tensors);
        for (int64_t i = 0; i < count; i++) {
            CHECK((size_t)rows[i].name_offset + rows[i].name_length <= length);
            CHECK(rows[i].view <= head.tensors);
        }
        free(rows);
    }
}

static void decode_placement_like_python(const uint8_t *body, size_t length) {
    uint32_t head[2], *buffers = malloc(length * sizeof *buffers + 1);
    uint64_t *offsets = malloc(length * sizeof *offsets + 1);
    int64_t count = gv_placement_body_decode(body, length, head, buffers, offsets, length);
    CHECK(count == -1 || (size_t)count <= length);
    free(buffers);
    free(offsets);
}

static void mutate(const uint8_t *body, size_t length, uint64_t *seed, void (*decode)(const uint8_t *, size_t)) {
    for (int i = 0; i < 60; i++) {
        size_t left = random_u64(seed) % 4 ? length : random_u64(seed) % length;
        uint8_t *exact = malloc(left ? left : 1);
        memcpy(exact, body, left);
        for (uint64_t n = random_u64(seed) % 6; left && n; n--) {
            exact[random_u64(seed) % left] = (uint8_t)random_u64(seed);
        }
        decode(exact, left);
        free(exact);
    }
}

int main(void) {
    static struct gv_tensor_row rows[TENSORS], back[TENSORS];
    static char names[TENSORS][256];
    static uint8_t body[CAPACITY];
    uint64_t seed = 3;
    for (int round = 0; round < 1500; round++) {
        uint32_t count = (uint32_t)(random_u64(&seed) % (TENSORS + 1));
        size_t length = make_graph(rows, names, count, body, &seed);
        struct gv_graph_head head;
        CHECK_EQUAL(gv_graph_head_decode(body, length, &head), 0);
        CHECK(head.number == 7 && head.runtime == 1 && head.nodes == count / 2 && head.tensors == count);
        CHECK_EQUAL(gv_graph_tensors_decode(body, length, back, TENSORS), count);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(memcmp(body + back[i].name_offset, names[i], rows[i].name_length) == 0);
            rows[i].name_offset = back[i].name_offset;
        }
        CHECK(memcmp(rows, back, count * sizeof *rows) == 0);
        if (count) {
            CHECK_EQUAL(gv_graph_tensors_decode(body, length, back, count - 1), -2);
        }
        CHECK_EQUAL(gv_graph_tensors_decode(body, length - 1, back, TENSORS), -1);
        body[length] = 0;
        CHECK_EQUAL(gv_graph_tensors_decode(body, length + 1, back, TENSORS), -1);
        mutate(body, length, &seed, decode_graph_like_python);

        uint32_t buffers[TENSORS], buffers_back[TENSORS], numbers[2];
        uint64_t offsets[TENSORS], offsets_back[TENSORS];
        length = make_placement(buffers, offsets, count, body, &seed);
        CHECK_EQUAL(gv_placement_body_decode(body, length, numbers, buffers_back, offsets_back, TENSORS), count);
        CHECK(numbers[0] == 9 && numbers[1] == 7);
        CHECK(memcmp(buffers, buffers_back, count * sizeof *buffers) == 0);
        CHECK(memcmp(offsets, offsets_back, count * sizeof *offsets) == 0);
        CHECK_EQUAL(gv_placement_body_decode(body, length - 1, numbers, buffers_back, offsets_back, TENSORS), -1);
        mutate(body, length, &seed, decode_placement_like_python);
    }
}
