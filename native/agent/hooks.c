/* The functions that the agent puts in front of ggml's. Each does its own part, then what was called. */
#include "agent/agent.h"
#include "platform/clock.h"
#include "ring/ring.h"

#define HOOK __attribute__((visibility("default")))
#define IMAGE() gv_image_find(__builtin_return_address(0))
#define ORIGINAL(image, name, type)                                                                                    \
    ((type)(GV_LIKELY((image)->originals[GV_HOOK_##name]) ? (image)->originals[GV_HOOK_##name]                         \
                                                          : gv_original_anywhere(GV_HOOK_##name)))
#define FRAME() __builtin_frame_address(0)

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
    struct gv_call call = gv_call_begin(image, graph, backend, scheduler, frame);
    int status;
    GV_THROUGH(original, status = original(first, second));
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

HOOK int ggml_graph_compute(void *graph, void *plan) {
    const struct gv_image *image = IMAGE();
    return compute(image, ORIGINAL(image, ggml_graph_compute, compute_fn), graph, plan, graph, NULL, false, FRAME());
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
    return original ? original(params, node) : false;
}

HOOK void ggml_compute_forward_rms_norm_mul_fused(const int *params, void *norm, void *product) {
    const struct gv_image *image = IMAGE();
    if (gv_on()) {
        gv_node_begin(params, norm, 1);
    }
    fused_fn original = ORIGINAL(image, ggml_compute_forward_rms_norm_mul_fused, fused_fn);
    if (original) {
        original(params, norm, product);
    }
}

/* --- barriers: ggml's own, and those that a compiler may have put in its place --- */

#define BARRIER(call)                                                                                                  \
    do {                                                                                                               \
        struct gv_thread *thread = gv_barrier_enter();                                                                 \
        GV_THROUGH(original, call);                                                                                    \
        if (thread) {                                                                                                  \
            gv_barrier_leave(thread);                                                                                  \
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
    if (sched && !gv_inside && gv_on()) {
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

/* --- copies: the outermost call counts, since asynchronous ones fall back to others --- */

GV_THREAD_LOCAL int copy_depth;

struct copy {
    uint64_t start;
    bool counted;
};

static struct copy copy_begin(void) {
    struct copy copy = {.counted = copy_depth++ == 0 && !gv_inside && gv_on()};
    copy.start = copy.counted ? gv_ticks() : 0;
    return copy;
}

static uint16_t place_of(const struct gv_image *image, const void *tensor) {
    const struct gv_runtime *runtime = tensor ? gv_image_runtime(image) : NULL;
    return runtime ? gv_tensor_place(runtime, tensor) : 0;
}

static void copy_end(struct copy copy, const struct gv_image *image, unsigned kind, uint64_t bytes, const void *from,
                     const void *to) {
    copy_depth--;
    if (!copy.counted) {
        return;
    }
    uint64_t duration = gv_ticks() - copy.start;
    if (atomic_load_explicit(&gv_segment->control, memory_order_relaxed) & (GV_CONTROL_PAUSED | GV_CONTROL_STOPPED)) {
        return;
    }
    uint8_t shift = gv_duration_shift(duration);
    struct gv_record record = {
        .start = copy.start,
        .kind = GV_KIND_COPY,
        .shift = shift,
        .detail = (uint16_t)kind,
        .run = gv_current_run(),
        .copy = {.bytes = bytes,
                 .duration = gv_duration(duration, shift),
                 .from = place_of(image, from),
                 .to = place_of(image, to)},
    };
    gv_put(gv_thread_self(), &record);
}

#define COPY(kind, bytes, from, to, call)                                                                              \
    do {                                                                                                               \
        if (original) {                                                                                                \
            struct copy copy = copy_begin();                                                                           \
            GV_THROUGH(original, call);                                                                                \
            copy_end(copy, image, (kind), (bytes), (from), (to));                                                      \
        }                                                                                                              \
    } while (0)

static uint64_t tensor_bytes(const struct gv_image *image, const void *tensor) {
    const struct gv_runtime *r = gv_image_runtime(image);
    return r && GV_HAS(r, ggml_nbytes) ? GV_CALL(r, ggml_nbytes, size_t (*)(const void *))(tensor) : 0;
}

HOOK void ggml_backend_tensor_set(void *tensor, const void *data, size_t offset, size_t size) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, const void *, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_set, fn);
    COPY(GV_COPY_SET, size, NULL, tensor, original(tensor, data, offset, size));
}

HOOK void ggml_backend_tensor_get(const void *tensor, void *data, size_t offset, size_t size) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(const void *, void *, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_get, fn);
    COPY(GV_COPY_GET, size, tensor, NULL, original(tensor, data, offset, size));
}

HOOK void ggml_backend_tensor_set_async(void *backend, void *tensor, const void *data, size_t offset, size_t size) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, void *, const void *, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_set_async, fn);
    COPY(GV_COPY_SET | GV_COPY_ASYNC, size, NULL, tensor, original(backend, tensor, data, offset, size));
}

HOOK void ggml_backend_tensor_get_async(void *backend, const void *tensor, void *data, size_t offset, size_t size) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, const void *, void *, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_get_async, fn);
    COPY(GV_COPY_GET | GV_COPY_ASYNC, size, tensor, NULL, original(backend, tensor, data, offset, size));
}

HOOK void ggml_backend_tensor_set_2d(void *tensor, const void *data, size_t offset, size_t size, size_t copies,
                                     size_t stride_tensor, size_t stride_data) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, const void *, size_t, size_t, size_t, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_set_2d, fn);
    COPY(GV_COPY_SET, size * copies, NULL, tensor,
         original(tensor, data, offset, size, copies, stride_tensor, stride_data));
}

HOOK void ggml_backend_tensor_get_2d(const void *tensor, void *data, size_t offset, size_t size, size_t copies,
                                     size_t stride_tensor, size_t stride_data) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(const void *, void *, size_t, size_t, size_t, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_get_2d, fn);
    COPY(GV_COPY_GET, size * copies, tensor, NULL,
         original(tensor, data, offset, size, copies, stride_tensor, stride_data));
}

HOOK void ggml_backend_tensor_set_2d_async(void *backend, void *tensor, const void *data, size_t offset, size_t size,
                                           size_t copies, size_t stride_tensor, size_t stride_data) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, void *, const void *, size_t, size_t, size_t, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_set_2d_async, fn);
    COPY(GV_COPY_SET | GV_COPY_ASYNC, size * copies, NULL, tensor,
         original(backend, tensor, data, offset, size, copies, stride_tensor, stride_data));
}

HOOK void ggml_backend_tensor_get_2d_async(void *backend, const void *tensor, void *data, size_t offset, size_t size,
                                           size_t copies, size_t stride_tensor, size_t stride_data) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, const void *, void *, size_t, size_t, size_t, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_get_2d_async, fn);
    COPY(GV_COPY_GET | GV_COPY_ASYNC, size * copies, tensor, NULL,
         original(backend, tensor, data, offset, size, copies, stride_tensor, stride_data));
}

HOOK void ggml_backend_tensor_memset(void *tensor, uint8_t value, size_t offset, size_t size) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, uint8_t, size_t, size_t);
    fn original = ORIGINAL(image, ggml_backend_tensor_memset, fn);
    COPY(GV_COPY_FILL, size, NULL, tensor, original(tensor, value, offset, size));
}

HOOK void ggml_backend_tensor_copy(const void *from, void *to) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(const void *, void *);
    fn original = ORIGINAL(image, ggml_backend_tensor_copy, fn);
    COPY(GV_COPY_TENSOR, tensor_bytes(image, to), from, to, original(from, to));
}

HOOK void ggml_backend_tensor_copy_async(void *backend_from, void *backend_to, const void *from, void *to) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, void *, const void *, void *);
    fn original = ORIGINAL(image, ggml_backend_tensor_copy_async, fn);
    COPY(GV_COPY_TENSOR | GV_COPY_ASYNC, tensor_bytes(image, to), from, to,
         original(backend_from, backend_to, from, to));
}
