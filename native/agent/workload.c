/* What a language model does in a run, told from the graph: by the same rules as Python's phases.py, which says why. */
#include <string.h>

#include "agent/agent.h"

#define MAX_SEQUENCES 256

typedef const char *(*text_fn)(const void *);

static bool is_named(const struct gv_runtime *r, const void *tensor, const char *name) {
    const char *own = GV_CALL(r, ggml_get_name, text_fn)(tensor);
    return own && strcmp(own, name) == 0;
}

static bool is_node(struct ggml_tensor *const *nodes, uint32_t count, const void *tensor) {
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] == tensor) {
            return true;
        }
    }
    return false;
}

static int64_t size(const struct gv_runtime *r, const void *tensor, int dimension) {
    return (int64_t)gv_field_u64(tensor, r->layout.tensor_ne + 8 * dimension);
}

/* Rows that a GET_ROWS looks up in the token embedding; 0: it is none of that. */
static int64_t looked_up(const struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count,
                         const void *node) {
    const void *table = gv_field_pointer(node, r->layout.tensor_sources);
    const void *rows = gv_field_pointer(node, r->layout.tensor_sources + 8);
    if (!table || !rows) {
        return 0;
    }
    bool is_token = is_named(r, table, "token_embd.weight") ||
                    ((is_named(r, rows, "embd") || is_named(r, rows, "inp_tokens")) && !is_node(nodes, count, rows));
    return is_token ? size(r, rows, 0) : 0;
}

/* How many tokens the graph has an output for. */
static int64_t outputs(const struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count) {
    for (uint32_t i = count; i-- > 0;) {
        if (is_named(r, nodes[i], "result_output")) {
            return size(r, nodes[i], 1);
        }
    }
    return 0;
}

struct gv_workload gv_workload(const struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count) {
    int64_t tokens = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *op = gv_op_text(r, nodes[i]);
        if (op && strcmp(op, "GET_ROWS") == 0) {
            int64_t rows = looked_up(r, nodes, count, nodes[i]);
            tokens = rows > tokens ? rows : tokens;
        }
    }
    struct gv_workload work = {.phase = GV_PHASE_PREFILL,
                               .tokens = tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens};
    if (tokens == 0) {
        work.phase = GV_PHASE_OTHER;
    } else if (tokens == 1) {
        work.phase = GV_PHASE_DECODE;
    } else {
        int64_t results = outputs(r, nodes, count);
        if (results == tokens && tokens <= MAX_SEQUENCES) {
            work.phase = GV_PHASE_DECODE;
        } else if (results > 1 && results < tokens) {
            work.phase = GV_PHASE_MIXED;
        }
    }
    return work;
}
