/* How long it takes to put a record into a ring, beside reading the clock, and to record a node.
 *
 * Prints for each round: ns for a time stamp, ns for a time stamp and a put, ns for a node with its barrier. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "platform/platform.h"
#include "ring/ring.h"

enum { COUNT = 200000, ROUNDS = 201, NODES = 700 };

static double since(uint64_t before) {
    return (double)(gv_nanoseconds(CLOCK_MONOTONIC) - before) / COUNT;
}

static double stamps(void) {
    uint64_t before = gv_nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < COUNT; i++) {
        uint64_t ticks = gv_ticks();
        __asm__ volatile("" : : "r"(ticks)); /* wanted by nobody else */
    }
    return since(before);
}

static double puts_with_stamps(struct gv_thread *thread) {
    uint64_t before = gv_nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < COUNT; i++) {
        struct gv_record record = {.start = gv_ticks(), .run = 1, .node = {.node = (uint32_t)i, .work = 100}};
        gv_ring_put(thread->ring, thread->slots, thread->mask, &record);
    }
    return since(before);
}

static double nodes(const struct ggml_tensor *const *list) {
    int params[8] = {0, 2};
    uint64_t before = gv_nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < COUNT; i++) {
        gv_node_begin(params, list[i % NODES], 0);
        gv_barrier_leave(gv_barrier_enter());
    }
    return since(before);
}

static void remove_segment(const char *name, void *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", (const char *)folder, name);
    unlink(path);
}

int main(void) {
    char token[64], folder[1024];
    snprintf(token, sizeof token, "bench-put-%d", (int)getpid());
    setenv("GGML_VIZ_RUN", token, 1);
    if (!gv_on()) {
        return 1;
    }
    gv_folder(folder, sizeof folder);
    gv_list(folder, token, remove_segment, folder);
    static const struct ggml_tensor *list[NODES];
    for (int i = 0; i < NODES; i++) {
        list[i] = (const struct ggml_tensor *)&list[i];
    }
    gv_runs[0].node_count = NODES;
    gv_runs[0].nodes = list;
    gv_runs[0].number = 1;
    struct gv_thread *thread = gv_thread_self();
    for (int i = 0; i < ROUNDS; i++) {
        double stamp = stamps(), put = puts_with_stamps(thread);
        printf("%.4f %.4f %.4f\n", stamp, put, nodes(list));
    }
}
