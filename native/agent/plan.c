/* Nodes on worker 0, in a ggml without a function that every thread calls for each node.
 *
 * The plan that a graph is computed by has room for an abort callback, which the first thread calls when it has
 * computed a node, before the barrier that closes it. It is not told which node: they are counted. Only if the count is
 * right in the end are the nodes of a graph recorded. Where barriers can be seen, they tell when a node's wait is over.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "ring/reader.h"
#include "ring/ring.h"

__thread struct gv_plan *gv_planned __attribute__((tls_model("initial-exec")));

/* The node before has been left at `out`. Which one that was is told when all have been counted. */
static void finish(struct gv_plan *p, uint64_t out) {
    p->records[p->done++] = gv_node_record(p->run, 0, 0, p->start, p->inner, p->worked, out, out);
    p->start = out;
    p->inner = p->worked = 0;
}

static bool on_node(void *data) {
    struct gv_plan *p = data;
    if (gv_planned == p) {
        if (p->worked) {
            finish(p, p->worked); /* no barrier since: they cannot be seen, or there is one thread */
        }
        if (p->calls++ < p->count) {
            p->worked = gv_ticks();
        }
    }
    return p->callback ? p->callback(p->data) : false;
}

void gv_plan_barrier(uint64_t in, uint64_t out) {
    struct gv_plan *p = gv_planned;
    if (p->worked) {
        finish(p, out);
    } else {
        p->inner += out - in;
    }
}

/* --- which call was for which node --- */

static bool is_empty(const struct gv_plan *p, uint32_t node) {
    return gv_op_is_empty(p->runtime, gv_field_u32(p->nodes[node], p->runtime->layout.tensor_op));
}

static bool is_op(const struct gv_plan *p, uint32_t node, const char *wanted) {
    uint32_t op = gv_field_u32(p->nodes[node], p->runtime->layout.tensor_op);
    const char *name = GV_CALL(p->runtime, ggml_op_name, const char *(*)(int))((int)op);
    return name && strcmp(name, wanted) == 0;
}

/* A norm and the product of it that follows, which newer ones compute as one. */
static bool is_pair(const struct gv_plan *p, uint32_t node) {
    if (node + 1 >= p->count || !is_op(p, node, "RMS_NORM") || !is_op(p, node + 1, "MUL")) {
        return false;
    }
    int sources = p->runtime->layout.tensor_sources;
    const struct ggml_tensor *norm = p->nodes[node], *product = p->nodes[node + 1];
    return gv_field_pointer(product, sources) == norm || gv_field_pointer(product, sources + 8) == norm;
}

/* How often the callback has to come, and, where `records` are given, whose each of them is. */
static uint32_t assign(const struct gv_plan *p, bool pairs, struct gv_record *records) {
    uint32_t calls = 0;
    for (uint32_t node = 0; node < p->count; node++) {
        bool empty = is_empty(p, node), pair = pairs && is_pair(p, node);
        if (empty && !p->runtime->layout.plan_calls_for_empty) {
            continue;
        }
        if (records) {
            records[calls].node.node = empty ? UINT32_MAX : p->first + node;
            records[calls].shift |= (uint8_t)(pair << 4); /* see gv_node_record */
        }
        calls++;
        node += pair;
    }
    return calls;
}

/* --- the whole graph --- */

/* What is not seen of a ggml without the choke point. */
enum gap { GAP_NODES, GAP_THREADS, GAP_WAITS, GAP_COUNT_WRONG, GAPS };

static void note(enum gap gap) {
    static const char *const texts[GAPS] = {
        [GAP_NODES] = "the nodes of a graph one by one: this ggml calls no function for each of them",
        [GAP_THREADS] = "nodes on other threads than the first: this ggml calls no function for each of them, so nodes "
                        "are timed on thread 0, by the callback that it makes after each",
        [GAP_WAITS] = "waits at barriers: this ggml has none that can be seen, so they are part of the work",
        [GAP_COUNT_WRONG] = "the nodes of some graphs: the callback after each came another number of times than the "
                            "graph has nodes, so they were left out",
    };
    static _Atomic uint32_t noted_by[GAPS];
    gv_note_unseen_once(&noted_by[gap], texts[gap]);
}

static bool sees_barriers(const struct gv_image *image) {
    return image->originals[GV_HOOK_ggml_barrier] || image->originals[GV_HOOK_GOMP_barrier] ||
           image->originals[GV_HOOK___kmpc_barrier];
}

void gv_plan_begin(struct gv_plan *p, const struct gv_image *image, const void *graph, void *cplan) {
    p->records = NULL;
    const struct gv_runtime *r = gv_image_runtime(image);
    const struct gv_graph *known;
    if (!image->size || image->originals[GV_HOOK_ggml_cpu_extra_compute_forward] || !gv_current_run()) {
        return; /* every thread calls that for each node */
    }
    bool timed = cplan && r && r->layout.plan_callback >= 0 && r->layout.tensors;
    note(timed ? GAP_THREADS : GAP_NODES);
    uint32_t detail = atomic_load_explicit(&gv_segment->control, memory_order_relaxed) & GV_CONTROL_DETAIL_MASK;
    if (!timed || detail == GV_DETAIL_GRAPH || !gv_current_split(&p->run, &known, &p->first, &p->wanted)) {
        return;
    }
    p->nodes = gv_graph_nodes(r, graph, &p->count);
    /* The graph that is computed is a part of the one that was described. */
    if (!p->nodes || p->first + p->count > known->node_count || known->nodes[p->first] != p->nodes[0]) {
        return;
    }
    p->records = malloc(p->count * sizeof *p->records);
    if (!p->records) {
        atomic_fetch_add_explicit(&gv_segment->records_dropped, p->count, memory_order_relaxed);
        return;
    }
    if (!sees_barriers(image)) {
        note(GAP_WAITS);
    }
    void **fields = (void **)((char *)cplan + r->layout.plan_callback);
    p->outer = gv_planned;
    p->runtime = r;
    p->plan = cplan;
    *(void **)&p->callback = fields[0];
    p->data = fields[1];
    p->calls = p->done = 0;
    p->inner = p->worked = 0;
    fields[0] = (void *)on_node;
    fields[1] = p;
    gv_planned = p;
    p->start = gv_ticks();
}

void gv_plan_end(struct gv_plan *p) {
    if (!p->records) {
        return;
    }
    gv_planned = p->outer;
    void **fields = (void **)((char *)p->plan + p->runtime->layout.plan_callback);
    if (fields[0] == (void *)on_node && fields[1] == p) {
        fields[0] = *(void **)&p->callback;
        fields[1] = p->data;
    }
    if (p->worked) {
        finish(p, p->worked);
    }
    bool alone = p->calls == assign(p, false, NULL), pairs = !alone && p->calls == assign(p, true, NULL);
    if (alone || pairs) {
        assign(p, pairs, p->records);
    } else {
        note(GAP_COUNT_WRONG);
        p->done = 0;
    }
    struct gv_thread *thread = gv_thread_self();
    for (uint32_t i = 0; i < p->done; i++) {
        uint32_t node = p->records[i].node.node;
        if (node == UINT32_MAX) {
            continue; /* it computes nothing */
        }
        if (gv_is_wanted(p->wanted, node)) {
            gv_put(thread, &p->records[i]);
        } else {
            atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
        }
    }
    free(p->records);
}
