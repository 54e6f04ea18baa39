/* The definition log: what records refer to by number is written here once, before the first record that does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/settings.h"
#include "platform/platform.h"
#include "trace/varint.h"

#define NAMES 1024u
#define BACKENDS 64u
#define COMMIT_STEP (1u << 20)

pthread_mutex_t gv_define_lock = PTHREAD_MUTEX_INITIALIZER;

static char *names[NAMES];
static uint32_t name_count;
static const char *backends[BACKENDS]; /* point into names */
static uint32_t backend_count;
static uint32_t runtime_count;
static uint64_t committed;

bool gv_bytes_reserve(struct gv_bytes *bytes, size_t extra) {
    if (bytes->capacity - bytes->length >= extra) {
        return true;
    }
    size_t capacity = (bytes->length + extra) * 2 + 256;
    uint8_t *data = realloc(bytes->data, capacity);
    if (!data) {
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void gv_bytes_varint(struct gv_bytes *bytes, uint64_t value) {
    if (gv_bytes_reserve(bytes, GV_VARINT_MAX)) {
        bytes->length = (size_t)(gv_varint_put(bytes->data + bytes->length, value) - bytes->data);
    }
}

void gv_bytes_string(struct gv_bytes *bytes, const char *text, size_t length) {
    gv_bytes_varint(bytes, length);
    if (gv_bytes_reserve(bytes, length)) {
        memcpy(bytes->data + bytes->length, text, length);
        bytes->length += length;
    }
}

/* Commits the log's memory up to `end`, so that a full memory file system is noticed here. */
static bool commit_log(uint64_t end) {
    while (committed < end) {
        uint64_t left = gv_segment->log_capacity - committed;
        uint64_t step = left < COMMIT_STEP ? left : COMMIT_STEP;
        if (gv_commit(gv_segment_fd, gv_segment->log_offset + committed, step) != 0) {
            return false;
        }
        committed += step;
    }
    return true;
}

bool gv_define(enum gv_definition kind, const struct gv_bytes *body) {
    struct gv_segment *segment = gv_segment;
    uint64_t tail = atomic_load_explicit(&segment->log_tail, memory_order_relaxed);
    struct gv_definition_header header = {.kind = (uint16_t)kind};
    uint64_t length = sizeof header + body->length;
    header.padding = (uint16_t)(-length & 7);
    length += header.padding;
    header.length = (uint32_t)length;
    if (length > segment->log_capacity - tail || length > GV_CHUNK_MAX || !commit_log(tail + length)) {
        atomic_fetch_add_explicit(&segment->definitions_dropped, 1, memory_order_relaxed);
        return false;
    }
    uint8_t *at = (uint8_t *)segment + segment->log_offset + tail;
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, body->data, body->length);
    memset(at + sizeof header + body->length, 0, header.padding);
    atomic_store_explicit(&segment->log_tail, tail + length, memory_order_release);
    return true;
}

void gv_define_note(enum gv_note level, const char *text) {
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, level);
    gv_bytes_string(&body, text, strlen(text));
    gv_define(GV_DEF_NOTE, &body);
    free(body.data);
}

void gv_note_unseen_once(_Atomic uint32_t *noted_by, const char *text) {
    uint32_t pid = gv_segment->pid;
    if (atomic_load_explicit(noted_by, memory_order_relaxed) != pid && atomic_exchange(noted_by, pid) != pid) {
        pthread_mutex_lock(&gv_define_lock);
        gv_define_note(GV_NOTE_NOT_SEEN, text);
        pthread_mutex_unlock(&gv_define_lock);
    }
}

static void define_numbered(enum gv_definition kind, uint32_t number, const char *text) {
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, number);
    gv_bytes_string(&body, text, strlen(text));
    gv_define(kind, &body);
    free(body.data);
}

uint32_t gv_name_number(const char *text) {
    if (!text) {
        return 0;
    }
    for (uint32_t i = 0; i < name_count; i++) {
        if (strcmp(names[i], text) == 0) {
            return i + 1;
        }
    }
    char *copy = name_count < NAMES ? strdup(text) : NULL;
    if (!copy) {
        return 0;
    }
    names[name_count++] = copy;
    define_numbered(GV_DEF_NAME, name_count, text);
    return name_count;
}

uint32_t gv_backend_number(const struct gv_runtime *runtime, const void *backend) {
    const char *name = "CPU"; /* a call of ggml_graph_compute itself */
    if (backend) {
        name = runtime && GV_HAS(runtime, ggml_backend_name)
                   ? GV_CALL(runtime, ggml_backend_name, const char *(*)(const void *))(backend)
                   : NULL;
    }
    if (!name) {
        return 0;
    }
    for (uint32_t i = 0; i < backend_count; i++) {
        if (strcmp(backends[i], name) == 0) {
            return i + 1;
        }
    }
    uint32_t interned = backend_count < BACKENDS ? gv_name_number(name) : 0;
    if (!interned) {
        return 0;
    }
    backends[backend_count++] = names[interned - 1];
    define_numbered(GV_DEF_BACKEND, backend_count, name);
    return backend_count;
}

bool gv_backend_wanted(uint32_t number) {
    return gv_filter_backend(number ? backends[number - 1] : "");
}

void gv_define_process(uint32_t detail) {
    const struct gv_segment *s = gv_segment;
    char executable[4096], command[16384];
    size_t executable_length = gv_executable(executable, sizeof executable);
    size_t command_length = gv_command_line(command, sizeof command);
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, s->pid);
    gv_bytes_varint(&body, gv_parent_process_id());
    gv_bytes_varint(&body, s->start_ticks);
    gv_bytes_varint(&body, s->start_monotonic_ns);
    gv_bytes_varint(&body, s->start_wall_ns);
    gv_bytes_varint(&body, s->clock_kind);
    gv_bytes_varint(&body, detail);
    gv_bytes_varint(&body, s->put_cost_ps);
    gv_bytes_varint(&body, gv_cpus());
    gv_bytes_string(&body, GV_AGENT_VERSION, strlen(GV_AGENT_VERSION));
    const char *method = gv_attached ? "attach" : "preload";
    gv_bytes_string(&body, method, strlen(method));
    gv_bytes_string(&body, executable, executable_length);
    gv_bytes_string(&body, command, command_length);
    gv_define(GV_DEF_PROCESS, &body);
    free(body.data);
}

/* Says in words what of this ggml cannot be seen, and so is not in the trace. */
static void define_gaps(const struct gv_runtime *runtime) {
    const struct gv_layout *layout = &runtime->layout;
    if (!layout->tensors) {
        gv_define_note(GV_NOTE_NOT_SEEN, "graphs and nodes: the layout of this ggml's tensors could not be verified");
        return;
    }
    if (gv_settings.per_node_sync && !GV_HAS(runtime, ggml_backend_sched_set_eval_callback)) {
        gv_define_note(GV_NOTE_NOT_SEEN, "each node by itself: this ggml's schedulers have no callback for it");
    }
    if (layout->tensor_flags < 0) {
        gv_define_note(GV_NOTE_NOT_SEEN, "flags of tensors: their place in this ggml could not be verified");
    }
    if (layout->tensor_buffer < 0) {
        gv_define_note(GV_NOTE_NOT_SEEN, "where tensors lie: the buffer field of this ggml could not be verified");
    }
    if (layout->backend_copy_async < 0) {
        gv_define_note(GV_NOTE_NOT_SEEN, "asynchronous copies between backends that the scheduler makes: this ggml's "
                                         "backend interface could not be verified");
    }
    if (layout->backend_graph_compute < 0) {
        gv_define_note(GV_NOTE_NOT_SEEN, "backends that the scheduler calls directly: this ggml's backend interface "
                                         "could not be verified");
    }
}

uint32_t gv_define_runtime(const struct gv_runtime *runtime) {
    const char *version = GV_HAS(runtime, ggml_version) ? GV_CALL(runtime, ggml_version, const char *(*)(void))() : "";
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, ++runtime_count);
    gv_bytes_string(&body, version, strlen(version));
    gv_bytes_string(&body, runtime->path, strlen(runtime->path));
    gv_define(GV_DEF_RUNTIME, &body);
    free(body.data);
    define_gaps(runtime);
    return runtime_count;
}

void gv_define_runtime_once(struct gv_runtime *runtime) {
    bool was_inside = gv_inside;
    gv_inside = true;
    pthread_mutex_lock(&gv_define_lock);
    if (!runtime->number) {
        runtime->number = gv_define_runtime(runtime);
    }
    pthread_mutex_unlock(&gv_define_lock);
    gv_inside = was_inside;
}

void gv_define_after_fork(void) {
    gv_define_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    name_count = backend_count = runtime_count = 0;
    committed = 0;
}
