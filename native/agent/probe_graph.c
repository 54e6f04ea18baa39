/* How a graph lies in memory, and how a plan to compute it does, where this ggml has no accessors for it.
 *
 * Graphs are made through public functions, and known nodes looked for in them. A plan is shown to the agent by ggml
 * itself: a backend is given a callback, computes a graph, and the function that is hooked gets the plan in which that
 * callback lies. So nothing is ever written where it has not been seen before. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define NOT_FOUND (-1)
#define MAX_HEAD_BYTES 256
#define MAX_PLAN_BYTES 256
#define NODES 4

typedef void *(*new_graph_fn)(void *);
typedef void (*expand_fn)(void *, struct ggml_tensor *);
typedef struct ggml_tensor *(*binary_fn)(void *, struct ggml_tensor *, struct ggml_tensor *);
typedef struct ggml_tensor *(*view_fn)(void *, struct ggml_tensor *, int64_t, size_t);
typedef struct ggml_tensor *(*new_4d_fn)(void *, int, int64_t, int64_t, int64_t, int64_t);

struct init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

/* Two graphs, of NODES and of NODES - 1 nodes, in memory that was all zero before. */
struct graphs {
    void *context;
    char *memory;
    size_t bytes;
    void *a, *b;
    struct ggml_tensor *of_a[NODES], *of_b[NODES - 1];
};

/* x + y, a view of it (which computes nothing), twice that view, and that times itself. */
static bool make_graphs(const struct gv_runtime *r, struct graphs *g) {
    g->bytes = 2 * GV_CALL(r, ggml_graph_overhead, size_t (*)(void))() + (64u << 10);
    g->memory = g->bytes < (64u << 20) ? calloc(1, g->bytes) : NULL;
    if (!g->memory) {
        return false;
    }
    g->context = GV_CALL(r, ggml_init, void *(*)(struct init_params))((struct init_params){g->bytes, g->memory, false});
    if (!g->context) {
        return false;
    }
    new_4d_fn new_4d = GV_CALL(r, ggml_new_tensor_4d, new_4d_fn);
    binary_fn add = GV_CALL(r, ggml_add, binary_fn), mul = GV_CALL(r, ggml_mul, binary_fn);
    struct ggml_tensor *x = new_4d(g->context, 0, 8, 1, 1, 1), *y = new_4d(g->context, 0, 8, 1, 1, 1);
    g->of_a[0] = add(g->context, x, y);
    g->of_a[1] = GV_CALL(r, ggml_view_1d, view_fn)(g->context, g->of_a[0], 4, 0);
    g->of_a[2] = add(g->context, g->of_a[1], g->of_a[1]);
    g->of_a[3] = mul(g->context, g->of_a[2], g->of_a[2]);
    g->of_b[0] = add(g->context, y, x);
    g->of_b[1] = mul(g->context, g->of_b[0], y);
    g->of_b[2] = add(g->context, g->of_b[1], x);
    g->a = GV_CALL(r, ggml_new_graph, new_graph_fn)(g->context);
    g->b = GV_CALL(r, ggml_new_graph, new_graph_fn)(g->context);
    if (!g->a || !g->b) {
        return false;
    }
    GV_CALL(r, ggml_build_forward_expand, expand_fn)(g->a, g->of_a[NODES - 1]);
    GV_CALL(r, ggml_build_forward_expand, expand_fn)(g->b, g->of_b[NODES - 2]);
    return true;
}

static bool is_inside(const struct graphs *g, const void *pointer, size_t size) {
    uintptr_t offset = (uintptr_t)pointer - (uintptr_t)g->memory;
    return offset < g->bytes && size <= g->bytes - offset;
}

/* Whether the nodes of a graph lie at this offset: behind a pointer there, or right there. */
static bool nodes_at(const struct graphs *g, const void *graph, int offset, bool right_there, const void *nodes,
                     size_t bytes) {
    const void *list = right_there ? (const char *)graph + offset : gv_field_pointer(graph, offset);
    return (uintptr_t)list % 8 == 0 && is_inside(g, list, bytes) && memcmp(list, nodes, bytes) == 0;
}

static void find_nodes(struct gv_layout *layout, const struct graphs *g) {
    for (int right_there = 0; right_there < 2; right_there++) {
        for (int at = 0; at < MAX_HEAD_BYTES; at += 8) {
            if (nodes_at(g, g->a, at, right_there, g->of_a, sizeof g->of_a) &&
                nodes_at(g, g->b, at, right_there, g->of_b, sizeof g->of_b)) {
                layout->graph_nodes = at;
                layout->graph_inline = right_there;
                break;
            }
        }
        if (layout->graph_nodes >= 0) {
            break;
        }
    }
    for (int at = 0; at < layout->graph_nodes && layout->graph_count < 0; at += 4) {
        if (gv_field_u32(g->a, at) == NODES && gv_field_u32(g->b, at) == NODES - 1) {
            layout->graph_count = at;
        }
    }
    if (layout->graph_count < 0) {
        layout->graph_nodes = NOT_FOUND;
    }
}

/* --- the plan --- */

GV_THREAD_LOCAL struct {
    bool looking;
    int offset, calls;
} probed;

static bool called_by_plan(void *data) {
    *(int *)data += 1;
    return false;
}

void gv_probe_plan(const void *plan) {
    const void *wanted[2] = {(const void *)called_by_plan, &probed.calls};
    if (!probed.looking || !plan) {
        return;
    }
    probed.looking = false;
    for (int at = 0; at + 16 <= MAX_PLAN_BYTES; at += 8) {
        if (memcmp((const char *)plan + at, wanted, sizeof wanted) == 0) {
            probed.offset = at;
            return;
        }
    }
}

static void find_plan(const struct gv_runtime *r, struct gv_layout *layout, const struct graphs *g) {
    typedef void (*set_fn)(void *, bool (*)(void *), void *);
    void *backend = GV_CALL(r, ggml_backend_cpu_init, void *(*)(void))();
    if (!backend) {
        return;
    }
    GV_CALL(r, ggml_backend_cpu_set_n_threads, void (*)(void *, int))(backend, 1);
    GV_CALL(r, ggml_backend_cpu_set_abort_callback, set_fn)(backend, called_by_plan, &probed.calls);
    probed.looking = true;
    probed.offset = NOT_FOUND;
    probed.calls = 0;
    GV_CALL(r, ggml_backend_graph_compute, int (*)(void *, void *))(backend, g->a);
    probed.looking = false;
    /* One of the nodes is a view. */
    if (probed.offset >= 0 && (probed.calls == NODES || probed.calls == NODES - 1)) {
        layout->plan_callback = probed.offset;
        layout->plan_calls_for_empty = probed.calls == NODES;
    }
    GV_CALL(r, ggml_backend_free, void (*)(void *))(backend);
}

static bool has(const struct gv_runtime *r, const enum gv_api *needed, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!r->apis[needed[i]]) {
            return false;
        }
    }
    return true;
}

void gv_probe_graph(struct gv_runtime *r) {
    static const enum gv_api to_make[] = {
        GV_API_ggml_new_graph,
        GV_API_ggml_build_forward_expand,
        GV_API_ggml_graph_overhead,
        GV_API_ggml_graph_plan,
    };
    static const enum gv_api to_compute[] = {
        GV_API_ggml_backend_cpu_init,
        GV_API_ggml_backend_cpu_set_n_threads,
        GV_API_ggml_backend_cpu_set_abort_callback,
        GV_API_ggml_backend_graph_compute,
        GV_API_ggml_backend_free,
    };
    bool told = GV_HAS(r, ggml_graph_n_nodes) && GV_HAS(r, ggml_graph_nodes);
    bool choke_point = GV_HAS(r, ggml_cpu_extra_compute_forward);
    struct graphs g = {0};
    if ((told && choke_point) || !has(r, to_make, sizeof to_make / sizeof *to_make)) {
        return;
    }
    if (make_graphs(r, &g)) {
        if (!told) {
            find_nodes(&r->layout, &g);
        }
        if (!choke_point && has(r, to_compute, sizeof to_compute / sizeof *to_compute)) {
            find_plan(r, &r->layout, &g);
        }
    }
    if (g.context) {
        GV_CALL(r, ggml_free, void (*)(void *))(g.context);
    }
    free(g.memory);
}

bool gv_op_is_empty(const struct gv_runtime *r, uint32_t op) {
    static const char *const empty[] = {"NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"};
    const char *name = GV_CALL(r, ggml_op_name, const char *(*)(int))((int)op);
    for (size_t i = 0; name && i < sizeof empty / sizeof *empty; i++) {
        if (strcmp(name, empty[i]) == 0) {
            return true;
        }
    }
    return !name;
}
