/* Nodes on worker 0, in a ggml without a function that every thread calls for each node.
 *
 * The plan that a graph is computed by has room for an abort callback, which the first thread calls when it has
 * computed a node, before the barrier that closes it. It is not told which node: they are counted. Only if the count is
 * right in the end are the nodes of a graph recorded. Where barriers can be seen, they tell when a node's wait is over.
 */
#include <stdlib.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "ring/reader.h"
#include "ring/ring.h"

__thread struct gv_plan *gv_planned __attribute__((tls_model("initial-exec")));

static uint32_t op_of(const struct gv_plan *p, uint32_t node) {
    return gv_field_u32(p->nodes[node], p->runtime->layout.tensor_op);
}

/* Moves to the next node that the callback is called for. */
static void skip_empty(struct gv_plan *p) {
    while (!p->runtime->layout.plan_calls_for_empty && p->at < p->count &&
           gv_op_is_empty(p->runtime, op_of(p, p->at))) {
        p->at++;
    }
}

/* The node before has been left at `out`. */
static void finish(struct gv_plan *p, uint64_t out) {
    uint32_t node = p->at - 1;
    if (!gv_op_is_empty(p->runtime, op_of(p, node))) {
        struct gv_record *record = &p->records[p->done++];
        *record = gv_node_record(p->run, p->first + node, 0, p->start, p->inner, p->worked, out, out);
    }
    p->start = out;
    p->inner = p->worked = 0;
    skip_empty(p);
}

static bool on_node(void *data) {
    struct gv_plan *p = data;
    if (gv_planned == p) {
        if (p->worked) {
            finish(p, p->worked); /* no barrier since: they cannot be seen, or there is one thread */
        }
        if (p->at < p->count) {
            p->worked = gv_ticks();
        }
        p->at++;
    }
    return p->callback ? p->callback(p->data) : false;
}

void gv_plan_barrier(uint64_t in, uint64_t out) {
    struct gv_plan *p = gv_planned;
    if (p->worked && p->at <= p->count) {
        finish(p, out);
    } else {
        p->inner += out - in;
    }
}

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
    p->at = p->done = 0;
    p->inner = p->worked = 0;
    skip_empty(p);
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
    if (p->worked && p->at <= p->count) {
        finish(p, p->worked);
    }
    skip_empty(p);
    if (p->at != p->count) {
        note(GAP_COUNT_WRONG);
    }
    struct gv_thread *thread = gv_thread_self();
    for (uint32_t i = 0; p->at == p->count && i < p->done; i++) {
        if (gv_is_wanted(p->wanted, p->records[i].node.node)) {
            gv_put(thread, &p->records[i]);
        } else {
            atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
        }
    }
    free(p->records);
}
