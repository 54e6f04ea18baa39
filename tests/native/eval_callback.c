/* A program with an evaluation callback of its own: computes a graph through a scheduler and prints all that its
 * callback was told, and what came out.
 *
 *     eval_callback none|never|some|all|cancel|change|count RUNS
 *
 * never: asks for nothing; some: for products; cancel: for all, and cancels at the third; change: sets another callback
 * while it is being asked; count: as some, but prints only how often it was asked and told. Two threads do so at once,
 * each with a scheduler of its own. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#define WIDTH 16

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const char *mode;
static int runs;

struct told {
    ggml_backend_sched_t sched;
    int done, counted[2];
    size_t length;
    char log[1 << 16];
};

#define LOG(told, ...)                                                                                                 \
    (told)->length += (size_t)snprintf((told)->log + (told)->length, sizeof(told)->log - (told)->length, __VA_ARGS__)

static bool other(struct ggml_tensor *node, bool ask, void *data) {
    struct told *told = data;
    LOG(told, "other %s %s\n", ask ? "ask" : "done", node->name);
    return ask ? strcmp(ggml_op_desc(node), "ADD") == 0 : true;
}

static bool callback(struct ggml_tensor *node, bool ask, void *data) {
    struct told *told = data;
    if (strcmp(mode, "count") == 0) {
        told->counted[ask]++;
        return !ask || strcmp(ggml_op_desc(node), "MUL_MAT") == 0;
    }
    LOG(told, "%s %s\n", ask ? "ask" : "done", node->name);
    if (ask && strcmp(mode, "change") == 0) {
        ggml_backend_sched_set_eval_callback(told->sched, other, told);
        return true;
    }
    if (ask) {
        bool product = strcmp(ggml_op_desc(node), "MUL_MAT") == 0;
        return strcmp(mode, "never") != 0 && (strcmp(mode, "some") != 0 || product);
    }
    float value;
    ggml_backend_tensor_get(node, &value, 0, sizeof value);
    LOG(told, "value %g\n", value);
    return strcmp(mode, "cancel") != 0 || ++told->done != 3;
}

static void *compute(void *data) {
    struct told *told = data;
    struct ggml_init_params params = {.mem_size = 1 << 20, .no_alloc = true};
    struct ggml_context *constants = ggml_init(params), *context = ggml_init(params);
    ggml_backend_t backend = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(backend, 2);
    struct ggml_tensor *one = ggml_new_tensor_2d(constants, GGML_TYPE_F32, WIDTH, WIDTH);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(constants, backend);
    float values[WIDTH * WIDTH];
    for (int i = 0; i < WIDTH * WIDTH; i++) {
        values[i] = i / WIDTH == i % WIDTH;
    }
    ggml_backend_tensor_set(one, values, 0, sizeof values);

    struct ggml_tensor *sum = one;
    for (int i = 0; i < 3; i++) {
        struct ggml_tensor *product = ggml_mul_mat(context, one, sum);
        sum = ggml_add(context, ggml_reshape_2d(context, product, WIDTH, WIDTH), one);
        ggml_format_name(product, "product-%d", i);
        ggml_format_name(sum, "sum-%d", i);
    }
    struct ggml_cgraph *graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, sum);
    told->sched = ggml_backend_sched_new(&backend, NULL, 1, 64, false, true);
    if (strcmp(mode, "none") != 0) {
        ggml_backend_sched_set_eval_callback(told->sched, callback, told);
    }
    MUST(ggml_backend_sched_alloc_graph(told->sched, graph));
    for (int i = 0; i < runs; i++) {
        enum ggml_status status = ggml_backend_sched_graph_compute(told->sched, graph);
        if (strcmp(mode, "count") != 0) {
            LOG(told, "status %d\n", (int)status);
        }
    }
    if (strcmp(mode, "count") == 0) {
        LOG(told, "asked %d, told %d\n", told->counted[true], told->counted[false]);
    }
    if (strcmp(mode, "cancel") != 0) {
        ggml_backend_tensor_get(sum, values, 0, sizeof values);
        MUST(values[0] == 4 && values[1] == 0 && values[WIDTH + 1] == 4);
    }
    ggml_backend_sched_free(told->sched);
    ggml_backend_buffer_free(buffer);
    ggml_backend_free(backend);
    ggml_free(context);
    ggml_free(constants);
    return NULL;
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    mode = argv[1];
    runs = atoi(argv[2]);
    static struct told told[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        MUST(pthread_create(&threads[i], NULL, compute, &told[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        fputs(told[i].log, stdout);
    }
}
