/* The encoding of the two large definitions, GRAPH and PLACEMENT (docs/trace-format.md). */
#ifndef GV_DEFINITIONS_H
#define GV_DEFINITIONS_H

#include <stddef.h>
#include <stdint.h>

#define GV_MAX_SOURCES 16u
/* No tensor takes more bytes than this, its name aside. */
#define GV_TENSOR_ENCODED_MAX 320u

/* One tensor of a GRAPH. Sources and view are indices in the graph plus 1, 0 for none. 240 bytes. */
struct gv_tensor_row {
    int64_t ne[4];
    uint64_t nb[4];
    uint64_t bytes;
    uint64_t view_offset_bytes;
    uint32_t name_offset; /* into the decoded body */
    uint32_t name_length;
    uint32_t op;   /* NAME */
    uint32_t type; /* NAME */
    uint32_t flags;
    uint32_t view;
    uint32_t source_count;
    uint32_t sources[GV_MAX_SOURCES];
    uint32_t reserved[17];
};
_Static_assert(sizeof(struct gv_tensor_row) == 240, "as numpy sees it");

struct gv_graph_head {
    uint32_t number;
    uint32_t runtime; /* RUNTIME */
    uint32_t nodes;
    uint32_t tensors;
};

/* Appends a tensor whose name is the row's name_length bytes at `name`. `out` has room for
 * GV_TENSOR_ENCODED_MAX bytes beyond the name. Returns the new end. */
uint8_t *gv_tensor_encode(const struct gv_tensor_row *row, const char *name, uint8_t *out);

/* Each returns what core/core.h says of the function of the same name there. */
int gv_graph_head_decode(const uint8_t *body, size_t length, struct gv_graph_head *out);
int64_t gv_graph_tensors_decode(const uint8_t *body, size_t length, struct gv_tensor_row *out, size_t capacity);
int64_t gv_placement_body_decode(const uint8_t *body, size_t length, uint32_t head[2], uint32_t *buffers,
                                 uint64_t *offsets, size_t capacity);

#endif
