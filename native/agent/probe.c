/* Where the fields of this ggml's objects lie.
 *
 * ggml's structs changed often, its public functions rarely. So real tensors are made through those functions,
 * and known values looked for in them. Each offset is confirmed by an object with other values; what is not
 * confirmed, or found twice, stays -1 and is not read. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define NOT_FOUND (-1)
#define MAX_TENSOR_BYTES 1024
#define SPECIMENS_BYTES (32u * 1024)

struct init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

typedef void *(*init_fn)(struct init_params);
typedef void (*free_fn)(void *);
typedef struct ggml_tensor *(*new_4d_fn)(void *, int, int64_t, int64_t, int64_t, int64_t);
typedef struct ggml_tensor *(*binary_fn)(void *, struct ggml_tensor *, struct ggml_tensor *);
typedef struct ggml_tensor *(*view_fn)(void *, struct ggml_tensor *, int64_t, size_t);
typedef const char *(*name_of_fn)(int);
typedef void (*mark_fn)(struct ggml_tensor *);
typedef void *(*data_fn)(const struct ggml_tensor *);

/* Tensors with known values in them. */
struct specimens {
    void *context;
    void *memory; /* all zero at first: what lies behind a struct must not look like a part of it */
    size_t bytes; /* of a tensor's struct, at most */
    struct ggml_tensor *a, *b, *half, *sum, *product, *view;
};

static const int64_t ne_a[4] = {3, 5, 7, 2};
static const int64_t ne_half[4] = {11, 13, 4, 6};

static bool make_specimens(const struct gv_runtime *r, struct specimens *s) {
    size_t overhead = GV_CALL(r, ggml_tensor_overhead, size_t (*)(void))();
    if (overhead < 128 || overhead > MAX_TENSOR_BYTES) {
        return false;
    }
    s->bytes = overhead & ~(size_t)7;
    s->memory = calloc(1, SPECIMENS_BYTES);
    s->context = GV_CALL(r, ggml_init, init_fn)((struct init_params){SPECIMENS_BYTES, s->memory, false});
    if (!s->memory || !s->context) {
        return false;
    }
    new_4d_fn new_4d = GV_CALL(r, ggml_new_tensor_4d, new_4d_fn);
    s->a = new_4d(s->context, 0, ne_a[0], ne_a[1], ne_a[2], ne_a[3]);
    s->b = new_4d(s->context, 0, ne_a[0], ne_a[1], ne_a[2], ne_a[3]);
    s->half = new_4d(s->context, 1, ne_half[0], ne_half[1], ne_half[2], ne_half[3]);
    s->sum = GV_CALL(r, ggml_add, binary_fn)(s->context, s->a, s->b);
    s->product = GV_CALL(r, ggml_mul, binary_fn)(s->context, s->b, s->a);
    s->view = GV_CALL(r, ggml_view_1d, view_fn)(s->context, s->a, 4, 8);
    return s->a && s->b && s->half && s->sum && s->product && s->view;
}

static bool words_at(const void *object, size_t offset, const void *words, size_t count) {
    return memcmp((const char *)object + offset, words, count * 8) == 0;
}

/* The one offset at which `first` has the words `x` and `second` the words `y`. */
static int find_words(const struct specimens *s, const void *first, const void *x, const void *second, const void *y,
                      size_t count) {
    int found = NOT_FOUND;
    for (size_t at = 0; at + count * 8 <= s->bytes; at += 8) {
        if (words_at(first, at, x, count) && words_at(second, at, y, count)) {
            if (found != NOT_FOUND) {
                return NOT_FOUND;
            }
            found = (int)at;
        }
    }
    return found;
}

static int find_type(const struct gv_runtime *r, const struct specimens *s) {
    name_of_fn type_name = GV_CALL(r, ggml_type_name, name_of_fn);
    if (strcmp(type_name(0), "f32") != 0 || strcmp(type_name(1), "f16") != 0) {
        return NOT_FOUND;
    }
    int found = NOT_FOUND;
    for (int at = 0; at + 4 <= (int)s->bytes; at += 4) {
        if (gv_field_u32(s->a, at) == 0 && gv_field_u32(s->sum, at) == 0 && gv_field_u32(s->half, at) == 1) {
            if (found != NOT_FOUND) {
                return NOT_FOUND;
            }
            found = at;
        }
    }
    return found;
}

static int find_op(const struct gv_runtime *r, const struct specimens *s) {
    name_of_fn op_name = GV_CALL(r, ggml_op_name, name_of_fn);
    int found = NOT_FOUND;
    for (int at = 0; at + 4 <= (int)s->bytes; at += 4) {
        uint32_t add = gv_field_u32(s->sum, at), mul = gv_field_u32(s->product, at);
        if (gv_field_u32(s->a, at) == 0 && gv_field_u32(s->half, at) == 0 && add != mul && add - 1 < 63 &&
            mul - 1 < 63 && strcmp(op_name((int)add), "ADD") == 0 && strcmp(op_name((int)mul), "MUL") == 0) {
            if (found != NOT_FOUND) {
                return NOT_FOUND;
            }
            found = at;
        }
    }
    return found;
}

static int find_flags(const struct gv_runtime *r, const struct specimens *s) {
    if (!GV_HAS(r, ggml_set_input) || !GV_HAS(r, ggml_set_output)) {
        return NOT_FOUND;
    }
    char before[MAX_TENSOR_BYTES], input[MAX_TENSOR_BYTES];
    memcpy(before, s->half, s->bytes);
    GV_CALL(r, ggml_set_input, mark_fn)(s->half);
    memcpy(input, s->half, s->bytes);
    GV_CALL(r, ggml_set_output, mark_fn)(s->half);
    int found = NOT_FOUND;
    for (int at = 0; at + 4 <= (int)s->bytes; at += 4) {
        if (gv_field_u32(before, at) != gv_field_u32(input, at) &&
            gv_field_u32(input, at) != gv_field_u32(s->half, at)) {
            if (found != NOT_FOUND) {
                return NOT_FOUND;
            }
            found = at;
        }
    }
    return found;
}

static void find_relations(struct gv_layout *layout, const struct specimens *s) {
    const void *in_sum[2] = {s->a, s->b}, *in_product[2] = {s->b, s->a};
    layout->tensor_sources = find_words(s, s->sum, in_sum, s->product, in_product, 2);

    const void *viewed = s->a, *nothing = NULL;
    for (int at = layout->tensor_sources + 8; layout->tensor_sources >= 0 && at + 16 <= (int)s->bytes; at += 8) {
        if (gv_field_pointer(s->view, at) == viewed && gv_field_pointer(s->sum, at) == nothing &&
            gv_field_u64(s->view, at + 8) == 8 && gv_field_u64(s->sum, at + 8) == 0) {
            layout->tensor_view = at;
            layout->tensor_view_offset = at + 8;
            break;
        }
    }
    /* ggml has had room for 6 and for 10 sources, and nothing between them and the view. */
    int count = (layout->tensor_view - layout->tensor_sources) / 8;
    layout->tensor_source_count = layout->tensor_view > 0 && (count == 6 || count == 10) ? count : 0;
}

static int find_data(const struct gv_runtime *r, const struct specimens *s) {
    data_fn data = GV_CALL(r, ggml_get_data, data_fn);
    const char *of_a = data(s->a), *of_view = data(s->view);
    if (!of_a || of_view != of_a + 8) {
        return NOT_FOUND;
    }
    return find_words(s, s->a, &of_a, s->view, &of_view, 1);
}

static int find_buffer(const struct gv_runtime *r, const struct specimens *s) {
    if (!GV_HAS(r, ggml_backend_cpu_buffer_type) || !GV_HAS(r, ggml_backend_alloc_ctx_tensors_from_buft) ||
        !GV_HAS(r, ggml_backend_buffer_free)) {
        return NOT_FOUND;
    }
    void *memory = calloc(1, SPECIMENS_BYTES);
    void *context = GV_CALL(r, ggml_init, init_fn)((struct init_params){SPECIMENS_BYTES, memory, true});
    if (!memory || !context) {
        free(memory);
        return NOT_FOUND;
    }
    struct ggml_tensor *x = GV_CALL(r, ggml_new_tensor_4d, new_4d_fn)(context, 0, 8, 1, 1, 1);
    struct ggml_tensor *y = GV_CALL(r, ggml_new_tensor_4d, new_4d_fn)(context, 0, 4, 1, 1, 1);
    void *type = GV_CALL(r, ggml_backend_cpu_buffer_type, void *(*)(void))();
    void *buffer = GV_CALL(r, ggml_backend_alloc_ctx_tensors_from_buft, void *(*)(void *, void *))(context, type);
    int found = NOT_FOUND;
    if (buffer) {
        found = find_words(s, x, &buffer, y, &buffer, 1);
        if (found >= 0 && gv_field_pointer(s->a, found) != NULL) {
            found = NOT_FOUND; /* `a` lies in no buffer */
        }
        GV_CALL(r, ggml_backend_buffer_free, free_fn)(buffer);
    }
    GV_CALL(r, ggml_free, free_fn)(context);
    free(memory);
    return found;
}

/* A forged backend, each word a different function: which one is called tells the place of what was asked. */
#define FORGED_WORDS 32
GV_THREAD_LOCAL int called_word, calls;
#define EIGHT(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7)
#define ALL_WORDS(X) EIGHT(X, 0) EIGHT(X, 1) EIGHT(X, 2) EIGHT(X, 3)
/* 1: the copy was made, so that ggml does not go on to make it itself. */
#define WORD_FUNCTION(n)                                                                                               \
    static intptr_t word_##n(void) {                                                                                   \
        calls++;                                                                                                       \
        called_word = 0##n;                                                                                            \
        return 1;                                                                                                      \
    }
ALL_WORDS(WORD_FUNCTION)
#define WORD_ENTRY(n) word_##n,

static void find_interface(const struct gv_runtime *r, struct gv_layout *layout, const struct specimens *s) {
    static intptr_t (*const forged[FORGED_WORDS])(void) = {ALL_WORDS(WORD_ENTRY)};
    if (GV_HAS(r, ggml_backend_graph_compute_async)) {
        calls = 0;
        GV_CALL(r, ggml_backend_graph_compute_async, int (*)(const void *, void *))(forged, NULL);
        layout->backend_graph_compute = calls == 1 ? called_word * 8 : NOT_FOUND;
    }
    /* Events came with the copy between two backends; what had this name before took other arguments. */
    if (GV_HAS(r, ggml_backend_tensor_copy_async) && GV_HAS(r, ggml_backend_event_new) && s->a && s->b) {
        typedef void (*copy_fn)(const void *, const void *, const void *, void *);
        calls = 0;
        GV_CALL(r, ggml_backend_tensor_copy_async, copy_fn)(forged, forged, s->a, s->b);
        bool good = calls == 1 && called_word * 8 != layout->backend_graph_compute;
        layout->backend_copy_async = good ? called_word * 8 : NOT_FOUND;
    }
}

void gv_probe(struct gv_runtime *runtime) {
    struct gv_layout *layout = &runtime->layout;
    *layout = (struct gv_layout){
        .tensor_type = NOT_FOUND,
        .tensor_buffer = NOT_FOUND,
        .tensor_ne = NOT_FOUND,
        .tensor_nb = NOT_FOUND,
        .tensor_op = NOT_FOUND,
        .tensor_flags = NOT_FOUND,
        .tensor_sources = NOT_FOUND,
        .tensor_view = NOT_FOUND,
        .tensor_view_offset = NOT_FOUND,
        .tensor_data = NOT_FOUND,
        .backend_graph_compute = NOT_FOUND,
        .backend_copy_async = NOT_FOUND,
        .graph_count = NOT_FOUND,
        .graph_nodes = NOT_FOUND,
        .plan_callback = NOT_FOUND,
    };
    static const enum gv_api needed[] = {
        GV_API_ggml_init,     GV_API_ggml_free,   GV_API_ggml_tensor_overhead, GV_API_ggml_new_tensor_4d,
        GV_API_ggml_add,      GV_API_ggml_mul,    GV_API_ggml_view_1d,         GV_API_ggml_get_name,
        GV_API_ggml_get_data, GV_API_ggml_nbytes, GV_API_ggml_op_name,         GV_API_ggml_type_name,
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!runtime->apis[needed[i]]) {
            return;
        }
    }
    bool was_inside = gv_inside;
    gv_inside = true;
    struct specimens s = {0};
    if (make_specimens(runtime, &s)) {
        int64_t nb_a[4] = {4, 12, 60, 420}, nb_half[4] = {2, 22, 286, 1144};
        layout->tensor_ne = find_words(&s, s.a, ne_a, s.half, ne_half, 4);
        layout->tensor_nb = find_words(&s, s.a, nb_a, s.half, nb_half, 4);
        layout->tensor_type = find_type(runtime, &s);
        layout->tensor_op = find_op(runtime, &s);
        find_relations(layout, &s);
        layout->tensor_data = find_data(runtime, &s);
        layout->tensor_flags = find_flags(runtime, &s);
        layout->tensor_buffer = find_buffer(runtime, &s);
    }
    find_interface(runtime, layout, &s);
    if (s.context) {
        GV_CALL(runtime, ggml_free, free_fn)(s.context);
    }
    free(s.memory);
    gv_probe_graph(runtime);
    bool nodes = (GV_HAS(runtime, ggml_graph_n_nodes) && GV_HAS(runtime, ggml_graph_nodes)) || layout->graph_nodes >= 0;
    layout->tensors = nodes && layout->tensor_ne >= 0 && layout->tensor_nb >= 0 && layout->tensor_type >= 0 &&
                      layout->tensor_op >= 0 && layout->tensor_source_count > 0 && layout->tensor_data >= 0;
    gv_inside = was_inside;
}
