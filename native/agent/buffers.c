/* Buffers: where tensors lie, when the memory came and when it went. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "platform/clock.h"

#define BUFFERS 4096u
#define PLACES 256u

static struct gv_buffer buffers[BUFFERS];
static uint32_t buffer_count, defined_count;
static const char *places[PLACES]; /* names of buffer types, ours */
static uint32_t place_count;

static uint16_t place_number(const char *name) {
    for (uint32_t i = 0; name && i < place_count; i++) {
        if (strcmp(places[i], name) == 0) {
            return (uint16_t)(i + 1);
        }
    }
    char *copy = name && place_count < PLACES ? strdup(name) : NULL;
    if (!copy) {
        return 0;
    }
    places[place_count++] = copy;
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, place_count);
    gv_bytes_string(&body, name, strlen(name));
    gv_define(GV_DEF_PLACE, &body);
    free(body.data);
    return (uint16_t)place_count;
}

static void define_buffer(const struct gv_runtime *r, const struct gv_buffer *buffer, bool allocation_seen) {
    const char *name = GV_HAS(r, ggml_backend_buffer_name)
                           ? GV_CALL(r, ggml_backend_buffer_name, const char *(*)(const void *))(buffer->pointer)
                           : "";
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, buffer->number);
    gv_bytes_varint(&body, gv_ticks());
    gv_bytes_varint(&body, buffer->place);
    gv_bytes_varint(&body, buffer->usage);
    gv_bytes_varint(&body, allocation_seen ? 0 : 1);
    gv_bytes_varint(&body, buffer->size);
    gv_bytes_varint(&body, buffer->base);
    gv_bytes_string(&body, name ? name : "", name ? strlen(name) : 0);
    gv_define(GV_DEF_BUFFER, &body);
    free(body.data);
}

static struct gv_buffer *find(const void *pointer) {
    for (uint32_t i = buffer_count; i-- > 0;) {
        if (buffers[i].pointer == pointer) {
            return &buffers[i];
        }
    }
    return NULL;
}

static void remove_buffer(struct gv_buffer *buffer) {
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, buffer->number);
    gv_bytes_varint(&body, gv_ticks());
    gv_define(GV_DEF_BUFFER_FREE, &body);
    free(body.data);
    *buffer = buffers[--buffer_count];
}

static struct gv_buffer *add(const struct gv_runtime *r, const void *pointer, bool allocation_seen) {
    if (buffer_count == BUFFERS || !GV_HAS(r, ggml_backend_buffer_get_size) ||
        !GV_HAS(r, ggml_backend_buffer_get_base)) {
        return NULL;
    }
    typedef const void *(*get_fn)(const void *);
    struct gv_buffer *buffer = &buffers[buffer_count];
    *buffer = (struct gv_buffer){.pointer = pointer};
    buffer->size = GV_CALL(r, ggml_backend_buffer_get_size, size_t (*)(const void *))(pointer);
    if (!buffer->size) {
        return NULL; /* a place holder: ggml makes hundreds while it measures */
    }
    buffer->base = (uint64_t)(uintptr_t)GV_CALL(r, ggml_backend_buffer_get_base, get_fn)(pointer);
    if (GV_HAS(r, ggml_backend_buffer_get_usage)) {
        buffer->usage = GV_CALL(r, ggml_backend_buffer_get_usage, uint32_t (*)(const void *))(pointer);
    }
    if (GV_HAS(r, ggml_backend_buffer_get_type) && GV_HAS(r, ggml_backend_buft_name)) {
        const void *type = GV_CALL(r, ggml_backend_buffer_get_type, get_fn)(pointer);
        buffer->place = place_number(GV_CALL(r, ggml_backend_buft_name, const char *(*)(const void *))(type));
    }
    buffer->number = ++defined_count;
    buffer_count++;
    define_buffer(r, buffer, allocation_seen);
    return buffer;
}

void gv_buffer_allocated(const struct gv_runtime *runtime, const void *pointer) {
    if (!runtime || !pointer) {
        return;
    }
    pthread_mutex_lock(&gv_define_lock);
    struct gv_buffer *known = find(pointer);
    if (known) {
        remove_buffer(known); /* freed where no hook could see it */
    }
    add(runtime, pointer, true);
    pthread_mutex_unlock(&gv_define_lock);
}

void gv_buffer_freed(const void *pointer) {
    pthread_mutex_lock(&gv_define_lock);
    struct gv_buffer *known = find(pointer);
    if (known) {
        remove_buffer(known);
    }
    pthread_mutex_unlock(&gv_define_lock);
}

static void set_usage(const struct gv_runtime *r, struct gv_buffer *buffer, uint32_t usage) {
    if (buffer->usage != usage) {
        buffer->usage = usage;
        define_buffer(r, buffer, true);
    }
}

void gv_buffer_usage(const struct gv_runtime *runtime, const void *pointer, uint32_t usage) {
    pthread_mutex_lock(&gv_define_lock);
    struct gv_buffer *known = find(pointer);
    if (known && runtime) {
        set_usage(runtime, known, usage);
    }
    pthread_mutex_unlock(&gv_define_lock);
}

const struct gv_buffer *gv_buffer_known(const struct gv_runtime *runtime, const void *pointer) {
    if (!pointer) {
        return NULL;
    }
    struct gv_buffer *known = find(pointer);
    if (known && GV_HAS(runtime, ggml_backend_buffer_get_usage)) {
        set_usage(runtime, known, GV_CALL(runtime, ggml_backend_buffer_get_usage, uint32_t (*)(const void *))(pointer));
    }
    return known ? known : add(runtime, pointer, false);
}

uint16_t gv_tensor_place(const struct gv_runtime *runtime, const struct ggml_tensor *tensor) {
    const struct gv_layout *layout = &runtime->layout;
    if (layout->tensor_buffer < 0 || layout->tensor_view < 0) {
        return 0;
    }
    const void *view = gv_field_pointer(tensor, layout->tensor_view);
    const void *pointer = gv_field_pointer(view ? view : (const void *)tensor, layout->tensor_buffer);
    bool was_inside = gv_inside;
    gv_inside = true;
    pthread_mutex_lock(&gv_define_lock);
    struct gv_buffer *known = pointer ? find(pointer) : NULL;
    if (pointer && !known) {
        known = add(runtime, pointer, false);
    }
    uint16_t place = known ? known->place : 0;
    pthread_mutex_unlock(&gv_define_lock);
    gv_inside = was_inside;
    return place;
}

void gv_buffers_after_fork(void) {
    buffer_count = defined_count = place_count = 0;
}
