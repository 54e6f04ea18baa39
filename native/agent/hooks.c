/* The functions that the agent puts in front of ggml's. Each does its own part, then what was called. */
#include "agent/agent.h"
#include "agent/hook.h"
#include "agent/settings.h"
#include "platform/clock.h"

/* --- graph runs --- */

typedef int (*compute_fn)(void *, void *);

static inline int compute(const struct gv_image *image, compute_fn original, void *first, void *second, void *graph,
                          const void *backend, bool scheduler, const void *frame) {
    if (!original) {
        return -1; /* the caller could not have had it either */
    }
    if (gv_inside || !gv_on()) {
        return original(first, second);
    }
    if (scheduler && gv_attached) {
        gv_backends_watch_sched(image, first);
    }
    struct gv_call call = gv_call_begin(image, graph, backend, scheduler, frame);
    struct gv_eval *eval = NULL;
    if (GV_UNLIKELY(atomic_load_explicit(&gv_settings.per_node_sync, memory_order_relaxed)) && scheduler && call.run) {
        eval = gv_eval_begin(image, first);
    }
    if (eval) {
        gv_nodes_alone();
    }
    int status;
    GV_THROUGH(original, status = original(first, second));
    if (eval) {
        gv_eval_end(eval, image);
    }
    gv_call_end(call, status);
    return status;
}

HOOK int ggml_backend_sched_graph_compute(void *sched, void *graph) {
    const struct gv_image *image = IMAGE();
    return compute(image, ORIGINAL(image, ggml_backend_sched_graph_compute, compute_fn), sched, graph, graph, NULL,
                   true, FRAME());
}

HOOK int ggml_backend_sched_graph_compute_async(void *sched, void *graph) {
    const struct gv_image *image = IMAGE();
    return compute(image, ORIGINAL(image, ggml_backend_sched_graph_compute_async, compute_fn), sched, graph, graph,
                   NULL, true, FRAME());
}

HOOK int ggml_backend_graph_compute(void *backend, void *graph) {
    const struct gv_image *image = IMAGE();
    return compute(image, ORIGINAL(image, ggml_backend_graph_compute, compute_fn), backend, graph, graph, backend,
                   false, FRAME());
}

HOOK int ggml_backend_graph_compute_async(void *backend, void *graph) {
    const struct gv_image *image = IMAGE();
    return compute(image, ORIGINAL(image, ggml_backend_graph_compute_async, compute_fn), backend, graph, graph, backend,
                   false, FRAME());
}

/* Before there were plans, it took a context and then the graph, and returned nothing. */
HOOK int ggml_graph_compute(void *first, void *second) {
    const struct gv_image *image = IMAGE();
    compute_fn original = ORIGINAL(image, ggml_graph_compute, compute_fn);
    if (!original) {
        return -1;
    }
    if (gv_inside || !gv_on()) {
        if (gv_inside) {
            gv_probe_plan(second);
        }
        return original(first, second);
    }
    const struct gv_runtime *runtime = gv_image_runtime(image);
    bool plans = !runtime || GV_HAS(runtime, ggml_graph_plan);
    void *graph = plans ? first : second;
    struct gv_call call = gv_call_begin(image, graph, NULL, false, FRAME());
    struct gv_plan plan;
    gv_plan_begin(&plan, image, graph, plans ? second : NULL);
    int status;
    GV_THROUGH(original, status = original(first, second));
    gv_plan_end(&plan);
    gv_call_end(call, status);
    return status;
}

/* --- nodes --- */

typedef bool (*forward_fn)(const int *, void *);
typedef void (*fused_fn)(const int *, void *, void *);

HOOK bool ggml_cpu_extra_compute_forward(const int *params, void *node) {
    const struct gv_image *image = IMAGE();
    if (gv_on()) {
        gv_node_begin(params, node, 0);
    }
    forward_fn original = ORIGINAL(image, ggml_cpu_extra_compute_forward, forward_fn);
    bool done = original ? original(params, node) : false;
    if (done) {
        gv_node_worked();
    }
    return done;
}

HOOK void ggml_compute_forward_rms_norm_mul_fused(const int *params, void *norm, void *product) {
    const struct gv_image *image = IMAGE();
    if (gv_on()) {
        gv_node_begin(params, norm, 1);
    }
    fused_fn original = ORIGINAL(image, ggml_compute_forward_rms_norm_mul_fused, fused_fn);
    if (original) {
        original(params, norm, product);
        gv_node_worked();
    }
}

/* --- barriers: ggml's own, and those that a compiler may have put in its place --- */

#define BARRIER(call)                                                                                                  \
    do {                                                                                                               \
        struct gv_thread *thread = gv_barrier_enter();                                                                 \
        struct gv_plan *plan = thread ? NULL : gv_planned;                                                             \
        uint64_t in = 0;                                                                                               \
        if (GV_UNLIKELY(plan)) {                                                                                       \
            gv_planned = NULL; /* a barrier inside this one is part of it */                                           \
            in = gv_ticks();                                                                                           \
        }                                                                                                              \
        GV_THROUGH(original, call);                                                                                    \
        if (thread) {                                                                                                  \
            gv_barrier_leave(thread);                                                                                  \
        } else if (GV_UNLIKELY(plan)) {                                                                                \
            gv_planned = plan;                                                                                         \
            gv_plan_barrier(in, gv_ticks());                                                                           \
        }                                                                                                              \
    } while (0)

HOOK void ggml_barrier(void *threadpool) {
    void (*original)(void *) = ORIGINAL(IMAGE(), ggml_barrier, void (*)(void *));
    if (original) {
        BARRIER(original(threadpool));
    }
}

HOOK void GOMP_barrier(void) {
    void (*original)(void) = ORIGINAL(IMAGE(), GOMP_barrier, void (*)(void));
    if (original) {
        BARRIER(original());
    }
}

HOOK void __kmpc_barrier(void *location, int32_t thread_number) {
    void (*original)(void *, int32_t) = ORIGINAL(IMAGE(), __kmpc_barrier, void (*)(void *, int32_t));
    if (original) {
        BARRIER(original(location, thread_number));
    }
}

/* --- backends and buffers --- */

HOOK void *ggml_backend_sched_new(void **backends, void *types, int count, size_t graph_size, uintptr_t fifth,
                                  uintptr_t sixth) {
    typedef void *(*new_fn)(void **, void *, int, size_t, uintptr_t, uintptr_t);
    const struct gv_image *image = IMAGE();
    new_fn original = ORIGINAL(image, ggml_backend_sched_new, new_fn);
    void *sched = NULL;
    if (original) {
        GV_THROUGH(original, sched = original(backends, types, count, graph_size, fifth, sixth));
    }
    gv_eval_sched_made(sched);
    /* Before backends could be called asynchronously, it took two arguments, and the third means nothing. */
    const struct gv_runtime *runtime = sched && !gv_inside && gv_on() ? gv_image_runtime(image) : NULL;
    if (runtime && runtime->layout.backend_graph_compute >= 0) {
        for (int i = 0; i < count; i++) {
            gv_backend_watch(image, backends[i]);
        }
    }
    return sched;
}

/* The accessors of a buffer's functions are ggml-base's own, whoever called. */
static void allocated(const struct gv_image *image, const void *buffer) {
    if (buffer && !gv_inside && gv_on()) {
        const struct gv_runtime *runtime = gv_image_runtime(image);
        gv_inside = true;
        gv_buffer_allocated(runtime, buffer);
        gv_inside = false;
    }
}

HOOK void *ggml_backend_buft_alloc_buffer(void *type, size_t size) {
    const struct gv_image *image = IMAGE();
    void *(*original)(void *, size_t) = ORIGINAL(image, ggml_backend_buft_alloc_buffer, void *(*)(void *, size_t));
    void *buffer = NULL;
    if (original) {
        GV_THROUGH(original, buffer = original(type, size));
    }
    allocated(image, buffer);
    return buffer;
}

HOOK void *ggml_backend_cpu_buffer_from_ptr(void *memory, size_t size) {
    const struct gv_image *image = IMAGE();
    void *(*original)(void *, size_t) = ORIGINAL(image, ggml_backend_cpu_buffer_from_ptr, void *(*)(void *, size_t));
    void *buffer = NULL;
    if (original) {
        GV_THROUGH(original, buffer = original(memory, size));
    }
    allocated(image, buffer);
    return buffer;
}

HOOK void *ggml_backend_dev_buffer_from_host_ptr(void *device, void *memory, size_t size, size_t largest) {
    typedef void *(*from_fn)(void *, void *, size_t, size_t);
    const struct gv_image *image = IMAGE();
    from_fn original = ORIGINAL(image, ggml_backend_dev_buffer_from_host_ptr, from_fn);
    void *buffer = NULL;
    if (original) {
        GV_THROUGH(original, buffer = original(device, memory, size, largest));
    }
    allocated(image, buffer);
    return buffer;
}

HOOK void ggml_backend_buffer_free(void *buffer) {
    void (*original)(void *) = ORIGINAL(IMAGE(), ggml_backend_buffer_free, void (*)(void *));
    if (buffer && !gv_inside && gv_on()) {
        gv_buffer_freed(buffer);
    }
    if (original) {
        original(buffer);
    }
}

HOOK void ggml_backend_buffer_set_usage(void *buffer, uint32_t usage) {
    const struct gv_image *image = IMAGE();
    void (*original)(void *, uint32_t) = ORIGINAL(image, ggml_backend_buffer_set_usage, void (*)(void *, uint32_t));
    if (original) {
        GV_THROUGH(original, original(buffer, usage));
    }
    if (!gv_inside && gv_on()) {
        const struct gv_runtime *runtime = gv_image_runtime(image);
        gv_inside = true;
        gv_buffer_usage(runtime, buffer, usage);
        gv_inside = false;
    }
}
