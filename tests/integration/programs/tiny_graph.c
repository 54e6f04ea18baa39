/* A plugin that computes a small graph with ggml's CPU backend: what tiny.c loads and unloads. */
#include <stdbool.h>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "tiny_graph.h"

enum { ELEMENTS = 64 };

__attribute__((visibility("default"))) int tiny_compute_graph(int threads, int runs) {
    struct ggml_context *context = ggml_init((struct ggml_init_params){.mem_size = 1 << 20, .no_alloc = true});
    struct ggml_tensor *input = ggml_new_tensor_1d(context, GGML_TYPE_F32, ELEMENTS), *output = input;
    for (int i = 0; i < TINY_NODES; i++) {
        output = ggml_add(context, output, output);
    }
    struct ggml_cgraph *graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, output);

    ggml_backend_t backend = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(backend, threads);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);
    bool right = true;
    for (int run = 1; run <= runs && right; run++) {
        float values[ELEMENTS] = {[ELEMENTS - 1] = (float)run};
        ggml_backend_tensor_set(input, values, 0, sizeof values);
        right = ggml_backend_graph_compute(backend, graph) == GGML_STATUS_SUCCESS;
        ggml_backend_tensor_get(output, values, 0, sizeof values);
        right = right && values[ELEMENTS - 1] == (float)run * (1ull << TINY_NODES);
    }
    ggml_backend_buffer_free(buffer);
    ggml_backend_free(backend);
    ggml_free(context);
    return right ? 0 : 1;
}
