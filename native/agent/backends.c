/* Other backends: what a scheduler calls through their interface is a pointer in memory, and is replaced there.
 *
 * Such calls pass no place where another library could see them: asynchronous copies never do, and graph_compute
 * not where a compiler inlined the public function around it. The pointers' places are probed; one that could
 * not be verified is left alone. */

#include "agent/agent.h"
#include "agent/loader.h"

#define BACKENDS 64u

typedef int (*graph_compute_fn)(void *backend, void *graph, uintptr_t, uintptr_t);
typedef bool (*copy_async_fn)(void *from, void *to, const void *source, void *target);

static struct watched {
    void *_Atomic backend;
    graph_compute_fn graph_compute;
    copy_async_fn copy_async;
    const struct gv_image *image;
} watched[BACKENDS];

/* Entries are never removed, and are whole before `backend` is published. Before it is, none of the backend's pointers
 * leads here; whoever comes through one that does has got the backend from its scheduler's thread, and so finds it. */
static struct watched *find(const void *backend) {
    for (uint32_t i = 0; i < BACKENDS; i++) {
        if (atomic_load_explicit(&watched[i].backend, memory_order_acquire) == backend) {
            return &watched[i];
        }
    }
    return NULL;
}

static int watched_graph_compute(void *backend, void *graph, uintptr_t third, uintptr_t fourth) {
    const struct watched *entry = find(backend);
    if (gv_inside || !gv_on()) {
        return entry->graph_compute(backend, graph, third, fourth);
    }
    struct gv_call call = gv_call_begin(entry->image, graph, backend, false, __builtin_frame_address(0));
    int status;
    GV_THROUGH(entry->graph_compute, status = entry->graph_compute(backend, graph, third, fourth));
    gv_call_end(call, status);
    return status;
}

static bool watched_copy_async(void *from, void *to, const void *source, void *target) {
    const struct watched *entry = find(to);
    struct gv_copy copy = gv_copy_begin();
    bool made;
    GV_THROUGH(entry->copy_async, made = entry->copy_async(from, to, source, target));
    copy.counted = copy.counted && made; /* if not, ggml copies by other means, which are seen too */
    gv_copy_end(copy, entry->image, GV_COPY_TENSOR | GV_COPY_ASYNC, gv_tensor_bytes(entry->image, target), source,
                target);
    return made;
}

/* The function at `offset` of a backend, if it is one of a loaded object: the second observation. */
static void *function_at(const void *backend, int offset) {
    struct gv_extent extent;
    void *function = offset >= 0 ? (void *)gv_field_pointer(backend, offset) : NULL;
    return function && gv_object_extent(function, &extent) ? function : NULL;
}

void gv_backend_watch(const struct gv_image *image, void *backend) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct gv_runtime *runtime = gv_image_runtime(image);
    if (!backend || !runtime) {
        return;
    }
    int compute_offset = runtime->layout.backend_graph_compute, copy_offset = runtime->layout.backend_copy_async;
    pthread_mutex_lock(&lock);
    void *compute = function_at(backend, compute_offset), *copy = function_at(backend, copy_offset);
    if (compute && compute != (void *)watched_graph_compute) {
        struct watched *entry = find(backend); /* of a freed backend that lay here */
        if (!entry) {
            entry = find(NULL);
        }
        if (entry) {
            entry->graph_compute = (graph_compute_fn)compute;
            entry->copy_async = (copy_async_fn)copy;
            entry->image = image;
            atomic_store_explicit(&entry->backend, backend, memory_order_release);
            *(graph_compute_fn *)((char *)backend + compute_offset) = watched_graph_compute;
            if (copy) {
                *(copy_async_fn *)((char *)backend + copy_offset) = watched_copy_async;
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

void gv_backends_watch_sched(const struct gv_image *image, void *sched) {
    enum { SCHEDS = 64 };
    static void *_Atomic known[SCHEDS];
    static _Atomic uint32_t next;
    for (uint32_t i = 0; i < SCHEDS; i++) {
        if (atomic_load_explicit(&known[i], memory_order_relaxed) == sched) {
            return;
        }
    }
    const struct gv_runtime *r = gv_image_runtime(image);
    if (!r || !GV_HAS(r, ggml_backend_sched_get_n_backends) || !GV_HAS(r, ggml_backend_sched_get_backend)) {
        return;
    }
    atomic_store_explicit(&known[atomic_fetch_add(&next, 1) % SCHEDS], sched, memory_order_relaxed);
    int count = GV_CALL(r, ggml_backend_sched_get_n_backends, int (*)(void *))(sched);
    for (int i = 0; i < count; i++) {
        gv_backend_watch(image, GV_CALL(r, ggml_backend_sched_get_backend, void *(*)(void *, int))(sched, i));
    }
}
