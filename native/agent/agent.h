/* What the agent's parts share. Each section is one file, in the order in which data passes through them. */
#ifndef GV_AGENT_H
#define GV_AGENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/symbols.h"
#include "ring/segment.h"
#include "trace/definitions.h"
#include "trace/format.h"

#define GV_AGENT_VERSION "0.1.0"

#define GV_LIKELY(x) __builtin_expect(!!(x), 1)
#define GV_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Thread-local words must be reachable without a call into the dynamic linker. */
#define GV_THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))

struct ggml_tensor; /* opaque everywhere */
struct ggml_cgraph;

/* --- resolve.c: which ggml a call belongs to --- */

/* Where the fields of a ggml's objects lie; -1: could not be verified, so not read. */
struct gv_layout {
    int tensor_type, tensor_buffer, tensor_ne, tensor_nb, tensor_op, tensor_flags, tensor_sources, tensor_source_count,
        tensor_view, tensor_view_offset, tensor_data;
    int backend_graph_compute, backend_copy_async;
    int graph_count, graph_nodes; /* where no accessor tells; see gv_probe_graph */
    bool graph_inline;            /* the nodes lie in the graph itself, and not behind a pointer */
    int plan_callback;            /* of a cplan's abort callback; its data follow */
    bool plan_calls_for_empty;    /* it is called for nodes that compute nothing, too */
    bool tensors;                 /* all that a graph's definition needs was found */
};

/* One copy of ggml in this process. */
struct gv_runtime {
    void *apis[GV_API_COUNT];
    struct gv_layout layout;
    _Atomic uint32_t generation;
    uint32_t number; /* RUNTIME definition */
    char path[512];
};

/* One object (executable or library) that calls ggml. */
struct gv_image {
    uintptr_t low, size;
    _Atomic uint32_t generation;
    void *originals[GV_HOOK_COUNT];
    const void *address;                /* somewhere in it */
    struct gv_runtime *_Atomic runtime; /* see gv_image_runtime */
};

/* Rises whenever a library has been unloaded: what was resolved before then is resolved anew. */
extern _Atomic uint32_t gv_generation;

/* The original that a hook of this thread is calling; see gv_image_find. */
extern __thread const void *gv_calling __attribute__((tls_model("initial-exec")));

/* The image that contains the return address of a hooked call. Never NULL; of an unknown one the originals may
 * be. Where an original ends in a jump to another hooked function, the return address lies in our own hook: the
 * call then is that original's. */
const struct gv_image *gv_image_find(const void *address);

/* The last resort for a call that was made, and so must have an original somewhere: any loaded object's. */
void *gv_original_anywhere(enum gv_hook hook);

/* Calls an original from a hook that has something to do afterwards. */
#define GV_THROUGH(original, call)                                                                                     \
    do {                                                                                                               \
        const void *outer_call = gv_calling;                                                                           \
        gv_calling = (const void *)(original);                                                                         \
        call;                                                                                                          \
        gv_calling = outer_call;                                                                                       \
    } while (0)

/* The copy of ggml that this image uses, found and probed at the first call. NULL: none, or unusable. */
struct gv_runtime *gv_image_runtime(const struct gv_image *image);

/* Forgets locks and caches that a fork may have left in any state. */
void gv_resolve_after_fork(void);

/* --- probe.c --- */

/* Finds the layout of a ggml by making objects through its public functions and looking where known values
 * came to lie. Whatever a second observation does not confirm stays -1. */
void gv_probe(struct gv_runtime *runtime);

/* --- probe_graph.c: the same of graphs, and of what computes them --- */

/* Of a graph in a ggml that has no accessors, and of a plan in one without the choke point. */
void gv_probe_graph(struct gv_runtime *runtime);
/* What a tensor's op is called, as closely as this ggml tells. Its layout must be known. */
const char *gv_op_text(const struct gv_runtime *runtime, const struct ggml_tensor *tensor);
/* Whether a node of this op computes nothing. */
bool gv_op_is_empty(const struct gv_runtime *runtime, uint32_t op);
/* Shown each cplan that the agent's own probe brings about. */
void gv_probe_plan(const void *plan);

/* --- plan.c: nodes on worker 0, in a ggml without a function that every thread calls for each node --- */

struct gv_plan {
    struct gv_plan *outer;
    const struct gv_runtime *runtime;
    struct ggml_tensor *const *nodes;
    const uint64_t *wanted;
    struct gv_record *records; /* NULL: not in use */
    void *plan;
    bool (*callback)(void *); /* the application's own */
    void *data;
    uint32_t count, calls, done, run, first;
    uint64_t start, inner, worked; /* of the node in progress; `worked` 0: it still computes */
};

/* Around the computation of a graph by the CPU backend. */
void gv_plan_begin(struct gv_plan *plan, const struct gv_image *image, const void *graph, void *cplan);
void gv_plan_end(struct gv_plan *plan);
/* A barrier of this thread, as seen by a plan. */
void gv_plan_barrier(uint64_t in, uint64_t out);
extern __thread struct gv_plan *gv_planned __attribute__((tls_model("initial-exec")));

/* --- life.c: start, settings, fork, exit --- */

enum gv_state { GV_UNBORN = 0, GV_ON = 1, GV_OFF = 2 };
extern _Atomic int gv_state;
extern struct gv_segment *gv_segment;
extern int gv_segment_fd;
extern struct gv_ring *gv_rings;

/* True if recording; starts it on the first call of a process. */
bool gv_on_slow(void);
static inline bool gv_on(void) {
    int state = atomic_load_explicit(&gv_state, memory_order_acquire);
    return GV_LIKELY(state == GV_ON) || (state == GV_UNBORN && gv_on_slow());
}

/* The agent was brought into a running process, and not preloaded; its segments are named by this token. */
extern bool gv_attached;
extern char gv_attach_token[16];
/* Starts the thread that looks after an attached process, in each process once. */
void gv_attach_attend(void);
/* The agent has been loaded: before the program began, or while it ran. Called once, by the system's loader. */
void gv_loaded(bool preloaded);

/* While nothing else runs yet: the settings that concern the program's environment. */
void gv_before_main(void);

/* False where the user has switched the agent off. */
bool gv_wanted(void);
/* The process ends, or becomes another program: what is still in the rings is written where nobody outside does
 * it, and the segment goes. Does nothing in a vfork child, which still has its parent's memory. */
void gv_finish(void);
/* Starts anew in a child that was made past pthread_atfork. */
void gv_check_fork(void);

/* A recorder has begun anew, with settings of its own: takes them over before the next run. Cheap if none has. */
void gv_check_recording(void);

/* Set while the agent itself calls ggml, so that its hooks let those calls pass. */
extern __thread bool gv_inside __attribute__((tls_model("initial-exec")));

/* --- thread.c: this thread's ring --- */

struct gv_thread {
    struct gv_ring *ring;
    struct gv_record *slots;
    uint64_t mask;
    uint32_t next_node; /* where the next node is expected in the run's graph */
    uint32_t slot;      /* of the active run that it works for */
    uint32_t run;
    uint32_t threads;          /* of the current node: 1 makes barriers trivial */
    _Atomic uint64_t filtered; /* nodes left out, ever; written by this thread alone */
};

/* This thread's ring; NULL if all are taken. */
struct gv_thread *gv_thread_self(void);

void gv_threads_start(void);
/* Commits the memory of ring `index`, if nobody has yet. False where the memory file system is full. */
bool gv_ring_prepare(uint32_t index);
struct gv_record *gv_ring_slots(uint32_t index);
void gv_threads_after_fork(void);

/* Publishes a record of this thread, or counts it as skipped (event limit) or dropped (no ring). */
void gv_put(struct gv_thread *thread, const struct gv_record *record);
/* Counts what threads have left out since the last call as skipped. */
void gv_count_filtered(void);
/* At most this many records from now on; 0: any number. */
void gv_limit_events(uint64_t limit);

/* --- nodes.c: what a worker does --- */

void gv_node_begin(const int *params, const struct ggml_tensor *node, uint32_t fused);
/* Publishes the node that the thread has finished last, if it has not been yet. */
void gv_node_publish(struct gv_thread *thread);
/* The same for the caller itself, when its split has ended. */
void gv_node_flush(uint32_t run);
/* True if the thread is in a node, so that the barrier is to be timed with enter and leave. */
struct gv_thread *gv_barrier_enter(void);
void gv_barrier_leave(struct gv_thread *thread);
/* The kernel of this thread's node has returned. Where barriers are inlined and so never seen, this is the end of its
 * work, and what is left until the next node begins its wait. */
void gv_node_worked(void);
/* Set when a node of several threads had no barrier. */
extern _Atomic bool gv_barriers_unseen;
/* In place of a kernel: calls it, then gv_node_worked. */
void gv_kernel(void *a, void *b, void *c, void *d, void *e, void (*original)(void *, void *, void *, void *, void *));
/* Forgets the node in progress: the thread gives its ring back, or is a fork's. */
void gv_node_leave(void);
/* Picoseconds to record one node on one thread, measured here and now. */
uint32_t gv_measure_put_cost(void);

/* --- runs.c: graph runs and their splits --- */

struct gv_graph;

struct gv_run {
    _Atomic uint32_t number; /* 0: free */
    const struct ggml_tensor *const *_Atomic nodes;
    _Atomic uint32_t node_count;
    _Atomic uint32_t threads;
    const uint64_t *_Atomic wanted; /* of its nodes, in the current split; NULL: all. Set before workers are called */
    struct gv_graph *graph;
};
extern struct gv_run gv_runs[GV_ACTIVE_RUNS];

/* A call of ggml that computes a graph, as one hook sees it. */
struct gv_call {
    bool split; /* it went into a backend */
    bool run;   /* it is the outermost, and recorded */
};

/* Around each call that computes a graph; they nest. `backend` NULL: not known, or a scheduler chooses. */
struct gv_call gv_call_begin(const struct gv_image *image, const struct ggml_cgraph *graph, const void *backend,
                             bool scheduler, const void *frame);
void gv_call_end(struct gv_call call, int status);
uint32_t gv_current_run(void);
/* The split that this thread is computing: its run, the run's graph, the index of its first node there, and which of
 * the graph's nodes are wanted. False: none, or its nodes are not recorded here. */
bool gv_current_split(uint32_t *run, const struct gv_graph **graph, uint32_t *first, const uint64_t **wanted);
/* Until the current run of this thread ends, its nodes are recorded by gv_node_alone and not where they begin. */
void gv_nodes_alone(void);
/* A node of the current run has been computed by itself, or was listed and is not computed by its backend. */
void gv_node_alone(const struct ggml_tensor *node, uint64_t start, uint64_t end);
/* Whether a copy that this thread begins now is to be recorded. */
bool gv_copies_wanted(void);
/* The first token is the next. */
void gv_count_tokens_anew(void);
void gv_runs_after_fork(void);

/* --- workload.c: what a run does --- */

struct gv_workload {
    enum gv_phase phase;
    uint32_t tokens; /* that go through the model; 0 where it is no language model */
};
struct gv_workload gv_workload(const struct gv_runtime *runtime, struct ggml_tensor *const *nodes, uint32_t count);

/* --- eval.c: each node by itself, on request --- */

struct gv_eval;
void gv_eval_sched_made(void *sched);
/* Around a scheduler's run; NULL: it cannot be timed so. */
struct gv_eval *gv_eval_begin(const struct gv_image *image, void *sched);
void gv_eval_end(struct gv_eval *eval, const struct gv_image *image);
void gv_eval_after_fork(void);

/* --- graphs.c: knowing a graph again --- */

struct gv_graph {
    const struct ggml_tensor **nodes; /* copy of the pointers, in the graph's order */
    uint32_t node_count;
    uint32_t number;    /* GRAPH definition */
    uint32_t placement; /* PLACEMENT definition of the last run; under gv_define_lock */
    uint64_t key, place_key;
    uint64_t *wanted;    /* nodes, by the filters; NULL: all */
    uint32_t generation; /* of the settings by which */
    struct gv_workload workload;
    _Atomic uint32_t users;
    uint64_t last_used;
};

/* Finds or defines the graph, and tells where it lies now. The result stays valid until released. NULL if it cannot
 * be read. */
struct gv_graph *gv_graph_acquire(struct gv_runtime *runtime, const struct ggml_cgraph *graph, uint32_t *placement);
void gv_graph_release(struct gv_graph *graph);

/* The nodes of a graph, and their count. NULL where this ggml does not tell, or there are none. */
struct ggml_tensor *const *gv_graph_nodes(const struct gv_runtime *runtime, const struct ggml_cgraph *graph,
                                          uint32_t *count);

/* What makes a graph the same as one seen before, in one pass over its nodes: `place` also changes when only
 * the tensors' memory does. */
struct gv_graph_keys {
    uint64_t key, place;
};
struct gv_graph_keys gv_graph_keys(const struct gv_layout *layout, struct ggml_tensor *const *nodes, uint32_t count);
void gv_graphs_after_fork(void);

/* --- define.c: the definition log, and the small tables behind it --- */

extern pthread_mutex_t gv_define_lock; /* held for all below, and for graphs.c's tables */

struct gv_bytes {
    uint8_t *data;
    size_t length, capacity;
};
/* Makes room for `extra` more bytes; false if memory is short. */
bool gv_bytes_reserve(struct gv_bytes *bytes, size_t extra);
void gv_bytes_varint(struct gv_bytes *bytes, uint64_t value);
void gv_bytes_string(struct gv_bytes *bytes, const char *text, size_t length);

/* Appends a definition to the log. False (and counted) where the log is full. */
bool gv_define(enum gv_definition kind, const struct gv_bytes *body);
void gv_define_note(enum gv_note level, const char *text);
/* A NOT_SEEN note, once for each process; `noted_by` is the caller's own, zero at first. Takes gv_define_lock. */
void gv_note_unseen_once(_Atomic uint32_t *noted_by, const char *text);
uint32_t gv_name_number(const char *text);
uint32_t gv_backend_number(const struct gv_runtime *runtime, const void *backend);
/* By the filter; `number` 0 is unknown. */
bool gv_backend_wanted(uint32_t number);
void gv_define_process(uint32_t detail);
uint32_t gv_define_runtime(const struct gv_runtime *runtime);
/* The same once, for one whose graphs cannot be read. */
void gv_define_runtime_once(struct gv_runtime *runtime);
void gv_define_after_fork(void);

/* --- filters.c: what of a graph is wanted; all under gv_define_lock --- */

#define GV_NOTE_FILTER "on request, " /* how a note begins that says what was left out */

/* In place of a set of nodes: none at all; or all, but recorded by other means (eval.c). */
extern const uint64_t gv_want_none[1], gv_want_elsewhere[1];

/* Makes the set of the nodes that are wanted, a bit for each; NULL: all are. False where memory is short. */
bool gv_filter_nodes(const struct gv_runtime *runtime, struct ggml_tensor *const *nodes, uint32_t count,
                     uint64_t **wanted);
bool gv_filter_backend(const char *name);

static inline bool gv_is_wanted(const uint64_t *wanted, uint32_t node) {
    return !wanted || (wanted != gv_want_none && (wanted[node / 64] >> (node % 64) & 1));
}

/* Notes what was asked to be left out, so that nobody takes the trace for the whole. */
void gv_define_filters(void);

/* --- buffers.c --- */

struct gv_buffer {
    const void *pointer;
    uint64_t base, size;
    uint32_t number;
    uint32_t usage;
    uint16_t place;
};
void gv_buffer_allocated(const struct gv_runtime *runtime, const void *buffer);
void gv_buffer_freed(const void *buffer);
void gv_buffer_usage(const struct gv_runtime *runtime, const void *buffer, uint32_t usage);
/* The buffer, defined now if it was not known. NULL if it cannot be read. Holds gv_define_lock. */
const struct gv_buffer *gv_buffer_known(const struct gv_runtime *runtime, const void *buffer);
/* The PLACE where a tensor lies; 0: unknown. */
uint16_t gv_tensor_place(const struct gv_runtime *runtime, const struct ggml_tensor *tensor);
void gv_buffers_after_fork(void);

/* --- copies.c --- */

struct gv_copy {
    uint64_t start;
    bool counted; /* it is the outermost, and recorded */
};
struct gv_copy gv_copy_begin(void);
/* `from` and `to` are tensors; NULL is the application's memory. `kind`: enum gv_copy_kind. */
void gv_copy_end(struct gv_copy copy, const struct gv_image *image, unsigned kind, uint64_t bytes, const void *from,
                 const void *to);
uint64_t gv_tensor_bytes(const struct gv_image *image, const void *tensor);

/* --- backends.c: other backends, through their interface pointers --- */

void gv_backend_watch(const struct gv_image *image, void *backend);
/* The same for all of a scheduler that was made before the agent came; cheap if it is known. */
void gv_backends_watch_sched(const struct gv_image *image, void *sched);

/* --- reading fields at probed places --- */

static inline const void *gv_field_pointer(const void *object, int offset) {
    return *(const void *const *)((const char *)object + offset);
}
static inline uint32_t gv_field_u32(const void *object, int offset) {
    return *(const uint32_t *)((const char *)object + offset);
}
static inline uint64_t gv_field_u64(const void *object, int offset) {
    return *(const uint64_t *)((const char *)object + offset);
}

/* Calls an accessor by its type; the caller has checked that it is there. */
#define GV_CALL(runtime, name, type) ((type)(runtime)->apis[GV_API_##name])
#define GV_HAS(runtime, name) ((runtime)->apis[GV_API_##name] != NULL)

#endif
