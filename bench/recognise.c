/* How long it takes to see that a graph is a known one.
 *
 * Prints for each round: ns a node with the tensors in the caches, and with none of them there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "platform/clock.h"

enum { NODES = 1000, ROUNDS = 51, REPEATS = 100, TENSOR_BYTES = 336, OBJECT_BYTES = 32, ELSEWHERE = 256 << 20 };

/* As in ggml of 2025 and 2026, on a 64-bit machine. */
static const struct gv_layout layout = {
    .tensor_ne = 16, .tensor_op = 80, .tensor_sources = 152, .tensor_view = 232, .tensor_data = 248};

static struct ggml_tensor *tensors[NODES];

static void make_tensors(void) {
    char *memory = calloc(NODES, TENSOR_BYTES + OBJECT_BYTES);
    for (int i = 0; i < NODES; i++) {
        char *tensor = memory + (size_t)i * (TENSOR_BYTES + OBJECT_BYTES);
        int64_t ne[4] = {576, 1 + i % 7, 1, 1};
        int op = i % 30;
        const void *pointers[2] = {i ? (const void *)tensors[i - 1] : NULL, tensor};
        memcpy(tensor + layout.tensor_ne, ne, sizeof ne);
        memcpy(tensor + layout.tensor_op, &op, sizeof op);
        memcpy(tensor + layout.tensor_sources, pointers, sizeof pointers);
        memcpy(tensor + layout.tensor_data, &pointers[1], sizeof(void *));
        if (i % 4 == 0) {
            memcpy(tensor + layout.tensor_view, &pointers[0], sizeof(void *));
        }
        tensors[i] = (struct ggml_tensor *)tensor;
    }
}

static double recognise(int repeats) {
    uint64_t before = gv_nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < repeats; i++) {
        struct gv_graph_keys keys = gv_graph_keys(&layout, tensors, NODES);
        __asm__ volatile("" : : "r"(keys.key ^ keys.place)); /* wanted by nobody else */
    }
    return (double)(gv_nanoseconds(CLOCK_MONOTONIC) - before) / repeats / NODES;
}

int main(void) {
    make_tensors();
    char *elsewhere = malloc(ELSEWHERE);
    for (int i = 0; i < ROUNDS; i++) {
        recognise(1);
        double warm = recognise(REPEATS);
        memset(elsewhere, i, ELSEWHERE);
        __asm__ volatile("" : : "r"(elsewhere) : "memory"); /* or the compiler would leave it out */
        printf("%.4f %.4f\n", warm, recognise(1));
    }
}
