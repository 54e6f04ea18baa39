/* Graph runs: the outermost call that computes a graph, and the calls into backends inside it. */
#include <string.h>

#include "agent/agent.h"
#include "agent/settings.h"
#include "platform/clock.h"
#include "ring/ring.h"

struct gv_run gv_runs[GV_ACTIVE_RUNS];
static _Atomic uint32_t last_number;

/* What this thread is computing as a caller. Workers have none. */
GV_THREAD_LOCAL struct {
    int depth, split_depth;
    struct gv_run *run; /* NULL in depth 1 and more: not recorded */
    bool outside;       /* the token window: nothing of this run is recorded */
    bool alone;         /* its nodes are computed one by one */
    bool filtered;      /* nodes of it may have been left out */
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
        uint16_t backend, threads;
        bool wanted;
    } split;
} caller;

/* A run's slot goes from thread to thread: the exchange acquires what the one before released with `number` 0. Who sees
 * a number sees what was stored before it. */
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
            atomic_store_explicit(&caller.run->wanted, NULL, memory_order_relaxed);
            atomic_store_explicit(&caller.run->threads, 0, memory_order_relaxed);
            caller.run->graph = NULL;
            atomic_store_explicit(&caller.active->graph, 0, memory_order_relaxed);
            atomic_store_explicit(&caller.active->placement, 0, memory_order_relaxed);
            atomic_store_explicit(&caller.active->phase, GV_PHASE_OTHER, memory_order_relaxed);
            atomic_store_explicit(&caller.active->start, caller.start, memory_order_relaxed);
            atomic_store_explicit(&caller.active->run, number, memory_order_release);
            atomic_store_explicit(&caller.run->number, number, memory_order_release);
            return;
        }
    }
    atomic_fetch_add_explicit(&gv_segment->records_dropped, 1, memory_order_relaxed);
}

/* --- the token window --- */

static _Atomic uint64_t generated; /* tokens of decode runs, since the recording began */

static bool is_windowed(void) {
    return atomic_load_explicit(&gv_settings.first_token, memory_order_relaxed) > 1 ||
           atomic_load_explicit(&gv_settings.last_token, memory_order_relaxed) < UINT64_MAX;
}

static bool is_in_window(uint64_t first, uint64_t last) {
    return last >= atomic_load_explicit(&gv_settings.first_token, memory_order_relaxed) &&
           first <= atomic_load_explicit(&gv_settings.last_token, memory_order_relaxed);
}

/* Whether the run works on a token of the window. What it does is told before it begins, and not when its graph is
 * read, so that one outside leaves no trace; a scheduler's cuts change neither ops nor the names that count. */
static bool counts_into_window(void) {
    struct gv_workload work = {.phase = GV_PHASE_OTHER};
    uint32_t count;
    struct ggml_tensor *const *nodes = gv_graph_nodes(caller.runtime, caller.graph, &count);
    if (nodes && caller.runtime->layout.tensors) {
        work = gv_workload(caller.runtime, nodes, count);
    }
    uint64_t tokens = work.phase == GV_PHASE_DECODE ? work.tokens : 0;
    uint64_t before = atomic_fetch_add_explicit(&generated, tokens, memory_order_relaxed);
    return is_in_window(before + 1, before + (tokens ? tokens : 1));
}

void gv_count_tokens_anew(void) {
    atomic_store(&generated, 0);
}

bool gv_copies_wanted(void) {
    uint32_t control = atomic_load_explicit(&gv_segment->control, memory_order_relaxed);
    if (control & (GV_CONTROL_PAUSED | GV_CONTROL_STOPPED)) {
        return false;
    }
    if (GV_LIKELY(!is_windowed()) || caller.run) {
        return true;
    }
    /* Between runs, what is brought in or fetched belongs to the token that follows. */
    uint64_t next = atomic_load_explicit(&generated, memory_order_relaxed) + 1;
    bool wanted = !(caller.depth && caller.outside) && is_in_window(next, next);
    if (!wanted) {
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
    }
    return wanted;
}

/* --- runs --- */

static void begin_run(const struct gv_image *image, const struct ggml_cgraph *graph, const void *frame) {
    gv_check_fork();
    caller.run = NULL;
    caller.frame = frame;
    caller.outside = false;
    /* Acquire: whoever sees that an idle agent is to record again also sees that there are new settings. */
    if (atomic_load_explicit(&gv_segment->control, memory_order_acquire) & GV_CONTROL_STOPPED) {
        return;
    }
    gv_check_recording();
    if (atomic_load_explicit(&gv_segment->control, memory_order_relaxed) & (GV_CONTROL_PAUSED | GV_CONTROL_STOPPED)) {
        return;
    }
    caller.runtime = gv_image_runtime(image);
    caller.graph = graph;
    caller.splits = caller.threads = 0;
    caller.placement = 0;
    caller.filtered = caller.alone = false;
    if (GV_UNLIKELY(is_windowed()) && !counts_into_window()) {
        caller.outside = true;
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
        return;
    }
    caller.start = gv_ticks();
    claim_run();
}

/* Reads the graph: as late as the first call into a backend, because until then a scheduler may still cut,
 * reorder and allocate it. */
static void know_graph(void) {
    struct gv_run *run = caller.run;
    if (run->graph) {
        return;
    }
    struct gv_graph *graph = gv_graph_acquire(caller.runtime, caller.graph, &caller.placement);
    if (!graph && caller.runtime && !caller.runtime->number) {
        gv_define_runtime_once(caller.runtime);
    }
    if (graph) {
        run->graph = graph;
        atomic_store_explicit(&run->node_count, graph->node_count, memory_order_relaxed);
        atomic_store_explicit(&run->nodes, (const struct ggml_tensor *const *)graph->nodes, memory_order_release);
        /* Released: their definitions come first. */
        atomic_store_explicit(&caller.active->graph, graph->number, memory_order_release);
        atomic_store_explicit(&caller.active->placement, caller.placement, memory_order_release);
        atomic_store_explicit(&caller.active->phase, graph->workload.phase, memory_order_relaxed);
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

static const uint64_t *wanted_nodes(void) {
    if (caller.alone) {
        return gv_want_elsewhere;
    }
    if (!caller.split.wanted) {
        return gv_want_none;
    }
    return caller.run->graph ? caller.run->graph->wanted : NULL;
}

static void begin_split(const struct gv_image *image, const struct ggml_cgraph *graph, const void *backend) {
    know_graph();
    const struct gv_runtime *runtime = gv_image_runtime(image);
    uint32_t expected = caller.splits ? caller.split.first + caller.split.count : 0;
    struct ggml_tensor *const *nodes = gv_graph_nodes(runtime, graph, &caller.split.count);
    caller.split.first = nodes ? index_of(caller.run->graph, nodes[0], expected) : UINT32_MAX;
    caller.split.backend = 0;
    caller.split.wanted = true;
    if (runtime) {
        pthread_mutex_lock(&gv_define_lock);
        caller.split.backend = (uint16_t)gv_backend_number(runtime, backend);
        caller.split.wanted = gv_backend_wanted(caller.split.backend);
        pthread_mutex_unlock(&gv_define_lock);
    }
    const uint64_t *wanted = wanted_nodes();
    caller.filtered = caller.filtered || wanted;
    atomic_store_explicit(&caller.run->wanted, wanted, memory_order_relaxed);
    atomic_store_explicit(&caller.run->threads, 0, memory_order_relaxed);
    caller.split.start = gv_ticks();
}

static void end_split(int status) {
    uint64_t duration = gv_ticks() - caller.split.start;
    uint32_t number = atomic_load_explicit(&caller.run->number, memory_order_relaxed);
    uint32_t threads = atomic_load_explicit(&caller.run->threads, memory_order_relaxed);
    gv_node_flush(number);
    caller.split.threads = (uint16_t)threads;
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
    if (caller.split.wanted) {
        gv_put(gv_thread_self(), &record);
    } else {
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
    }
    if (caller.splits < UINT16_MAX) {
        caller.splits++;
    }
    caller.threads = threads > caller.threads ? (uint16_t)threads : caller.threads;
}

/* --- nodes computed by themselves --- */

void gv_nodes_alone(void) {
    caller.alone = true;
}

static bool computes_nothing(const struct gv_runtime *r, const struct ggml_tensor *node) {
    if (gv_op_is_empty(r, gv_field_u32(node, r->layout.tensor_op))) {
        return true;
    }
    for (int i = 0; i < 4; i++) {
        if (gv_field_u64(node, r->layout.tensor_ne + 8 * i) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the split that has just ended has computed its node. A backend whose workers are seen says so itself; of
 * another, only what cannot compute anything is known. */
static bool was_computed(const struct ggml_tensor *node) {
    static _Atomic uint64_t have_workers; /* backends, by number */
    uint64_t backend = 1ull << (caller.split.backend % 64);
    if (caller.split.threads) {
        atomic_fetch_or_explicit(&have_workers, backend, memory_order_relaxed);
        return true;
    }
    return !(atomic_load_explicit(&have_workers, memory_order_relaxed) & backend) &&
           !computes_nothing(caller.runtime, node);
}

void gv_node_alone(const struct ggml_tensor *node, uint64_t start, uint64_t end) {
    struct gv_graph *graph = caller.run ? caller.run->graph : NULL;
    if (!graph || !caller.alone || !was_computed(node)) {
        return;
    }
    uint32_t index = index_of(graph, node, caller.split.first);
    if (index == UINT32_MAX) {
        return;
    }
    if (!caller.split.wanted || !gv_is_wanted(graph->wanted, index)) {
        atomic_fetch_add_explicit(&gv_segment->records_skipped, 1, memory_order_relaxed);
        return;
    }
    uint64_t duration = end - start;
    uint8_t shift = gv_duration_shift(duration);
    struct gv_record record = {
        .start = start,
        .kind = GV_KIND_NODE,
        .shift = shift,
        .run = atomic_load_explicit(&caller.run->number, memory_order_relaxed),
        .node = {.node = index, .work = gv_duration(duration, shift)},
    };
    gv_put(gv_thread_self(), &record);
}

/* Figures that are inferred are to be known as such. */
static void note_unseen_barriers(void) {
    static _Atomic uint32_t noted_by;
    if (atomic_load_explicit(&gv_barriers_unseen, memory_order_relaxed)) {
        gv_note_unseen_once(&noted_by,
                            "barriers between nodes: this build has them inlined, so the wait at the end of a "
                            "node is inferred from the gap between its kernel and the next node");
    }
}

/* For viewers that only want to know what happens now. */
static void count_activity(const struct gv_graph *graph) {
    struct gv_workload work = graph ? graph->workload : (struct gv_workload){.phase = GV_PHASE_OTHER};
    uint64_t now = gv_nanoseconds(CLOCK_MONOTONIC) / 1000000000u;
    struct gv_second *second = &gv_segment->seconds[now % GV_SECONDS];
    uint64_t before = atomic_load_explicit(&second->second, memory_order_relaxed);
    if (before != now && atomic_compare_exchange_strong(&second->second, &before, 0)) {
        for (int i = 0; i < GV_PHASE_COUNT; i++) {
            atomic_store_explicit(&second->runs[i], 0, memory_order_relaxed);
            atomic_store_explicit(&second->tokens[i], 0, memory_order_relaxed);
        }
        atomic_store_explicit(&second->second, now, memory_order_release);
    }
    atomic_fetch_add_explicit(&second->runs[work.phase], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&second->tokens[work.phase], work.tokens, memory_order_relaxed);
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
    count_activity(graph);
    if (caller.filtered) {
        gv_count_filtered();
    }
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
        call.run = caller.run != NULL;
    }
    if (!scheduler && caller.split_depth++ == 0 && caller.run) {
        begin_split(image, graph, backend);
    }
    return call;
}

/* What a computation returned was nothing in 2023, then whether it went well; only a ggml that has words for it returns
 * its status. */
static bool tells_status(const struct gv_runtime *r) {
    return r && (GV_HAS(r, ggml_status_to_string) || GV_HAS(r, ggml_graph_n_nodes));
}

void gv_call_end(struct gv_call call, int status) {
    status = tells_status(caller.runtime) ? status : 0;
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

bool gv_current_split(uint32_t *run, const struct gv_graph **graph, uint32_t *first, const uint64_t **wanted) {
    if (!caller.run || !caller.split_depth || !caller.run->graph || caller.split.first == UINT32_MAX || caller.alone ||
        !caller.split.wanted) {
        return false;
    }
    *run = atomic_load_explicit(&caller.run->number, memory_order_relaxed);
    *graph = caller.run->graph;
    *first = caller.split.first;
    *wanted = caller.run->graph->wanted;
    return true;
}

void gv_runs_after_fork(void) {
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        atomic_store(&gv_runs[i].number, 0);
    }
    atomic_store(&last_number, 0);
    gv_count_tokens_anew();
    caller.depth = caller.split_depth = 0;
    caller.run = NULL;
}
