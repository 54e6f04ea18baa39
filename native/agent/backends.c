/* Other backends: their graph_compute is a pointer in memory, and is replaced there.
 *
 * A scheduler may call a backend through its interface without any call that another library could see (clang
 * inlines it). The pointer's place is probed; where it could not be verified, nothing is replaced. */
#include <dlfcn.h>

#include "agent/agent.h"

#define BACKENDS 64u

typedef int (*graph_compute_fn)(void *backend, void *graph, uintptr_t, uintptr_t);

static struct watched {
    void *_Atomic backend;
    graph_compute_fn original;
    const struct gv_image *image;
} watched[BACKENDS];

static struct watched *find(const void *backend) {
    for (uint32_t i = 0; i < BACKENDS; i++) {
        if (atomic_load_explicit(&watched[i].backend, memory_order_acquire) == backend) {
            return &watched[i];
        }
    }
    return NULL;
}

static int watched_graph_compute(void *backend, void *graph, uintptr_t third, uintptr_t fourth) {
    /* Entries are never removed, so a backend whose pointer leads here is in the table. */
    struct watched *entry = find(backend);
    if (!gv_on()) {
        return entry->original(backend, graph, third, fourth);
    }
    struct gv_call call = gv_call_begin(entry->image, graph, backend, false, __builtin_frame_address(0));
    int status;
    GV_THROUGH(entry->original, status = entry->original(backend, graph, third, fourth));
    gv_call_end(call, status);
    return status;
}

void gv_backend_watch(const struct gv_image *image, void *backend) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct gv_runtime *runtime = gv_image_runtime(image);
    if (!backend || !runtime || runtime->layout.backend_graph_compute < 0) {
        return;
    }
    graph_compute_fn *slot = (graph_compute_fn *)((char *)backend + runtime->layout.backend_graph_compute);
    pthread_mutex_lock(&lock);
    graph_compute_fn now = *slot;
    Dl_info info;
    /* The second observation: what lies there is a function of a loaded object. */
    if (now != watched_graph_compute && now && dladdr(*(void **)&now, &info)) {
        struct watched *entry = find(backend); /* of a freed backend that lay here */
        if (!entry) {
            entry = find(NULL);
        }
        if (entry) {
            entry->original = now;
            entry->image = image;
            atomic_store_explicit(&entry->backend, backend, memory_order_release);
            *slot = watched_graph_compute;
        }
    }
    pthread_mutex_unlock(&lock);
}
