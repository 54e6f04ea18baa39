/* Graph runs: the outermost call that computes a graph, and the calls into backends inside it. */
#include "agent/agent.h"
#include "platform/clock.h"
#include "ring/ring.h"

struct gv_run gv_runs[GV_ACTIVE_RUNS];
static _Atomic uint32_t last_number;

/* What this thread is computing as a caller. Workers have none. */
GV_THREAD_LOCAL struct {
    int depth, split_depth;
    struct gv_run *run; /* NULL in depth 1 and more: not recorded */
    struct gv_active_run *active;
    struct gv_runtime *runtime;
    const struct ggml_cgraph *graph;
    const void *frame; /* the outermost call's */
    uint64_t start;
    uint32_t placement;
    uint16_t splits, threads;
    struct {
        uint64_t start;
        uint32_t first, count;
        uint16_t backend;
    } split;
} caller;

static void claim_run(void) {
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        uint32_t nobody = 0;
        /* Taken with a number that no worker looks for, until its nodes are known. */
        if (atomic_load_explicit(&gv_runs[i].number, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&gv_runs[i].number, &nobody, UINT32_MAX)) {
            uint32_t number = atomic_fetch_add(&last_number, 1) + 1;
            caller.run = &gv_runs[i];
            caller.active = &gv_segment->active[i];
            atomic_store_explicit(&caller.run->nodes, NULL, memory_order_relaxed);
            atomic_store_explicit(&caller.run->threads, 0, memory_order_relaxed);
            caller.run->graph = NULL;
            atomic_store_explicit(&caller.active->graph, 0, memory_order_relaxed);
            atomic_store_explicit(&caller.active->placement, 0, memory_order_relaxed);
            atomic_store_explicit(&caller.active->start, caller.start, memory_order_relaxed);
            atomic_store_explicit(&caller.active->run, number, memory_order_release);
            atomic_store_explicit(&caller.run->number, number, memory_order_release);
            return;
        }
    }
    atomic_fetch_add_explicit(&gv_segment->records_dropped, 1, memory_order_relaxed);
}

static void begin_run(const struct gv_image *image, const struct ggml_cgraph *graph, const void *frame) {
    gv_check_fork();
    caller.run = NULL;
    caller.runtime = gv_image_runtime(image);
    caller.graph = graph;
    caller.frame = frame;
    caller.splits = caller.threads = 0;
    caller.placement = 0;
    /* Acquire: whoever sees that an idle agent is to record again also sees that there are new settings. */
    uint32_t control = atomic_load_explicit(&gv_segment->control, memory_order_acquire);
    if (!(control & (GV_CONTROL_PAUSED | GV_CONTROL_STOPPED))) {
        gv_check_recording();
        caller.start = gv_ticks();
        claim_run();
    }
}

/* Reads the graph: as late as the first call into a backend, because until then a scheduler may still cut,
 * reorder and allocate it. */
static void know_graph(void) {
    struct gv_run *run = caller.run;
    if (run->graph) {
        return;
    }
    struct gv_graph *graph = gv_graph_acquire(caller.runtime, caller.graph, &caller.placement);
    if (graph) {
        run->graph = graph;
        atomic_store_explicit(&run->node_count, graph->node_count, memory_order_relaxed);
        atomic_store_explicit(&run->nodes, (const struct ggml_tensor *const *)graph->nodes, memory_order_release);
        atomic_store_explicit(&caller.active->graph, graph->number, memory_order_relaxed);
        atomic_store_explicit(&caller.active->placement, caller.placement, memory_order_relaxed);
    }
}

static uint32_t index_of(const struct gv_graph *graph, const struct ggml_tensor *node, uint32_t expected) {
    for (uint32_t i = 0; graph && i < graph->node_count; i++) {
        uint32_t at = (expected + i) % graph->node_count;
        if (graph->nodes[at] == node) {
            return at;
        }
    }
    return UINT32_MAX;
}

static void begin_split(const struct gv_image *image, const struct ggml_cgraph *graph, const void *backend) {
    know_graph();
    const struct gv_runtime *runtime = gv_image_runtime(image);
    uint32_t expected = caller.splits ? caller.split.first + caller.split.count : 0;
    struct ggml_tensor *const *nodes = gv_graph_nodes(runtime, graph, &caller.split.count);
    caller.split.first = nodes ? index_of(caller.run->graph, nodes[0], expected) : UINT32_MAX;
    caller.split.backend = 0;
    if (runtime) {
        pthread_mutex_lock(&gv_define_lock);
        caller.split.backend = (uint16_t)gv_backend_number(runtime, backend);
        pthread_mutex_unlock(&gv_define_lock);
    }
    atomic_store_explicit(&caller.run->threads, 0, memory_order_relaxed);
    caller.split.start = gv_ticks();
}

static void end_split(int status) {
    uint64_t duration = gv_ticks() - caller.split.start;
    uint32_t number = atomic_load_explicit(&caller.run->number, memory_order_relaxed);
    uint32_t threads = atomic_load_explicit(&caller.run->threads, memory_order_relaxed);
    gv_node_flush(number);
    uint8_t shift = gv_duration_shift(duration);
    struct gv_record record = {
        .start = caller.split.start,
        .kind = GV_KIND_SPLIT,
        .shift = shift,
        .detail = (uint16_t)status,
        .run = number,
        .split = {.first = caller.split.first,
                  .count = caller.split.count,
                  .duration = gv_duration(duration, shift),
                  .backend = caller.split.backend,
                  .threads = (uint16_t)threads},
    };
    gv_put(gv_thread_self(), &record);
    if (caller.splits < UINT16_MAX) {
        caller.splits++;
    }
    caller.threads = threads > caller.threads ? (uint16_t)threads : caller.threads;
}

/* Once for each process: figures that are inferred are to be known as such. */
static void note_unseen_barriers(void) {
    static _Atomic uint32_t noted_by;
    uint32_t pid = gv_segment->pid;
    if (atomic_load_explicit(&gv_barriers_unseen, memory_order_relaxed) && atomic_exchange(&noted_by, pid) != pid) {
        pthread_mutex_lock(&gv_define_lock);
        gv_define_note(GV_NOTE_NOT_SEEN,
                       "barriers between nodes: this build has them inlined, so the wait at the end of "
                       "a node is inferred from the gap between its kernel and the next node");
        pthread_mutex_unlock(&gv_define_lock);
    }
}

static void end_run(int status) {
    struct gv_run *run = caller.run;
    know_graph();
    note_unseen_barriers();
    uint64_t duration = gv_ticks() - caller.start;
    uint8_t shift = gv_duration_shift(duration);
    struct gv_record record = {
        .start = caller.start,
        .kind = GV_KIND_RUN,
        .shift = shift,
        .detail = (uint16_t)status,
        .run = atomic_load_explicit(&run->number, memory_order_relaxed),
        .graph_run = {.graph = run->graph ? run->graph->number : 0,
                      .placement = caller.placement,
                      .duration = gv_duration(duration, shift),
                      .splits = caller.splits,
                      .threads = caller.threads},
    };
    gv_put(gv_thread_self(), &record);
    struct gv_graph *graph = run->graph;
    atomic_store_explicit(&caller.active->run, 0, memory_order_release);
    atomic_store_explicit(&run->nodes, NULL, memory_order_relaxed);
    atomic_store_explicit(&run->number, 0, memory_order_release); /* from here on the slot is another's */
    gv_graph_release(graph);
}

struct gv_call gv_call_begin(const struct gv_image *image, const struct ggml_cgraph *graph, const void *backend,
                             bool scheduler, const void *frame) {
    struct gv_call call = {.split = !scheduler};
    if (GV_UNLIKELY(caller.depth && (uintptr_t)frame > (uintptr_t)caller.frame)) {
        /* The outermost call has been left by an exception or a longjmp: its end is now. */
        if (caller.run) {
            end_run(GV_STATUS_UNFINISHED);
        }
        caller.depth = caller.split_depth = 0;
    }
    if (caller.depth++ == 0) {
        begin_run(image, graph, frame);
    }
    if (!scheduler && caller.split_depth++ == 0 && caller.run) {
        begin_split(image, graph, backend);
    }
    return call;
}

void gv_call_end(struct gv_call call, int status) {
    if (call.split && --caller.split_depth == 0 && caller.run) {
        end_split(status);
    }
    if (--caller.depth == 0 && caller.run) {
        end_run(status);
        caller.run = NULL;
    }
}

uint32_t gv_current_run(void) {
    return caller.run ? atomic_load_explicit(&caller.run->number, memory_order_relaxed) : 0;
}

bool gv_current_split(uint32_t *run, const struct gv_graph **graph, uint32_t *first) {
    if (!caller.run || !caller.split_depth || !caller.run->graph || caller.split.first == UINT32_MAX) {
        return false;
    }
    *run = atomic_load_explicit(&caller.run->number, memory_order_relaxed);
    *graph = caller.run->graph;
    *first = caller.split.first;
    return true;
}

void gv_runs_after_fork(void) {
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        atomic_store(&gv_runs[i].number, 0);
    }
    atomic_store(&last_number, 0);
    caller.depth = caller.split_depth = 0;
    caller.run = NULL;
}
