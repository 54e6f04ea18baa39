/* The last node of a run waits in its ring's header until its worker goes on. However the two who may write it
 * meet, worker and drain, it is in the trace once. The workers are the agent's own code. */
#include <pthread.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "support.h"
#include "trace/drain.h"

#define THREADS 3
#define NODES 5
#define RUNS (3000 / SLOWNESS)

static const struct ggml_tensor *nodes[NODES];
static pthread_barrier_t begin_run, end_run;
static _Atomic bool over;
static char trace_path[] = "last_node.ggmlviz";

static void compute(int worker) {
    int params[8] = {worker, THREADS};
    for (int i = 0; i < NODES; i++) {
        gv_node_begin(params, nodes[i], 0);
        gv_barrier_leave(gv_barrier_enter());
    }
}

static void *work(void *worker) {
    for (int run = 0; run < RUNS; run++) {
        pthread_barrier_wait(&begin_run);
        compute((int)(intptr_t)worker);
        pthread_barrier_wait(&end_run);
    }
    return NULL;
}

/* Now and then a long pause: only then does the drain take a node early. */
static void rest(uint64_t *seed) {
    if (random_u64(seed) % 16 == 0) {
        gv_sleep_ns(random_u64(seed) % 1000000);
    }
}

static void *drain(void *argument) {
    uint64_t seed = 5;
    while (!atomic_load(&over)) {
        gv_drain_step(argument);
        rest(&seed);
    }
    return NULL;
}

static void find_segment(const char *name, void *out) {
    char folder[1024];
    CHECK(gv_folder(folder, sizeof folder) > 0);
    snprintf(out, 4096, "%s/%s", folder, name);
}

int main(void) {
    char token[64], prefix[80], folder[1024], path[4096] = "";
    snprintf(token, sizeof token, "last-node-test-%d", (int)getpid());
    snprintf(prefix, sizeof prefix, "%s.", token);
    setenv("GGML_VIZ_RUN", token, 1);
    CHECK(gv_on());
    CHECK(gv_folder(folder, sizeof folder) > 0);
    gv_list(folder, prefix, find_segment, path);
    struct gv_view view;
    struct gv_writer writer;
    CHECK_EQUAL(gv_view_open(&view, path, true), 0);
    unlink(path);
    CHECK_EQUAL(gv_writer_create(&writer, trace_path), 0);
    struct gv_drain *drained = gv_drain_open(&view, &writer, 1, GV_SINCE_START);

    for (int i = 0; i < NODES; i++) {
        nodes[i] = (const struct ggml_tensor *)&nodes[i];
    }
    pthread_t threads[THREADS], drainer;
    pthread_barrier_init(&begin_run, NULL, THREADS);
    pthread_barrier_init(&end_run, NULL, THREADS);
    for (int i = 1; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
    }
    pthread_create(&drainer, NULL, drain, drained);
    uint64_t seed = 6;
    for (uint32_t number = 1; number <= RUNS; number++) {
        struct gv_run *run = &gv_runs[number % GV_ACTIVE_RUNS];
        uint64_t start = gv_ticks();
        atomic_store(&run->node_count, NODES);
        atomic_store(&run->nodes, nodes);
        atomic_store(&run->number, number);
        pthread_barrier_wait(&begin_run);
        compute(0);
        pthread_barrier_wait(&end_run);
        gv_node_flush(number);
        struct gv_record record = {.start = start,
                                   .kind = GV_KIND_RUN,
                                   .run = number,
                                   .graph_run = {.duration = (uint32_t)(gv_ticks() - start)}};
        gv_put(gv_thread_self(), &record);
        atomic_store(&run->number, 0);
        rest(&seed);
    }
    for (int i = 1; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&over, true);
    pthread_join(drainer, NULL);
    struct gv_stat stat;
    gv_drain_close(drained, GV_DONE_ENDED, &stat);
    gv_writer_close(&writer);

    static uint8_t seen[RUNS + 1][NODES][THREADS];
    struct trace trace = trace_read(trace_path);
    size_t count, runs = 0;
    struct gv_record *records = trace_records(&trace, &count);
    for (size_t i = 0; i < count; i++) {
        const struct gv_record *record = &records[i];
        CHECK(record->run >= 1 && record->run <= RUNS);
        if (record->kind == GV_KIND_RUN) {
            runs++;
        } else {
            CHECK(record->node.node < NODES && record->detail < THREADS);
            CHECK_EQUAL(seen[record->run][record->node.node][record->detail], 0);
            seen[record->run][record->node.node][record->detail] = 1;
        }
    }
    CHECK_EQUAL(stat.lost + stat.dropped, 0);
    CHECK_EQUAL(runs, RUNS);
    CHECK_EQUAL(count, RUNS * (NODES * THREADS + 1));
    CHECK_EQUAL(stat.written, count);
    free(records);
    free(trace.data);
}
