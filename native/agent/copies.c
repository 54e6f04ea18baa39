/* Copies: bytes set, got, filled and copied. The outermost call counts, since asynchronous ones fall back to
 * others. */
#include "agent/agent.h"
#include "agent/hook.h"
#include "platform/clock.h"
#include "ring/ring.h"

GV_THREAD_LOCAL int copy_depth;

struct gv_copy gv_copy_begin(void) {
    struct gv_copy copy = {.counted = copy_depth++ == 0 && !gv_inside && gv_on() && gv_copies_wanted()};
    copy.start = copy.counted ? gv_ticks() : 0;
    return copy;
}

static uint16_t place_of(const struct gv_image *image, const void *tensor) {
    const struct gv_runtime *runtime = tensor ? gv_image_runtime(image) : NULL;
    return runtime ? gv_tensor_place(runtime, tensor) : 0;
}

void gv_copy_end(struct gv_copy copy, const struct gv_image *image, unsigned kind, uint64_t bytes, const void *from,
                 const void *to) {
    copy_depth--;
    if (!copy.counted) {
        return;
    }
    uint64_t duration = gv_ticks() - copy.start;
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
            struct gv_copy copy = gv_copy_begin();                                                                     \
            GV_THROUGH(original, call);                                                                                \
            gv_copy_end(copy, image, (kind), (bytes), (from), (to));                                                   \
        }                                                                                                              \
    } while (0)

uint64_t gv_tensor_bytes(const struct gv_image *image, const void *tensor) {
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
    COPY(GV_COPY_TENSOR, gv_tensor_bytes(image, to), from, to, original(from, to));
}

HOOK void ggml_backend_tensor_copy_async(void *backend_from, void *backend_to, const void *from, void *to) {
    const struct gv_image *image = IMAGE();
    typedef void (*fn)(void *, void *, const void *, void *);
    fn original = ORIGINAL(image, ggml_backend_tensor_copy_async, fn);
    COPY(GV_COPY_TENSOR | GV_COPY_ASYNC, gv_tensor_bytes(image, to), from, to,
         original(backend_from, backend_to, from, to));
}
