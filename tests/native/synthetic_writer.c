/* A program that does nothing but record, through the agent's own code, at a steady rate.
 *
 *     synthetic_writer THREADS RECORDS_PER_SECOND SECONDS
 *
 * Says "started", and at the end how many records it has put and how many seconds it took. */
#include <pthread.h>

#include "agent/agent.h"
#include "platform/clock.h"
#include "support.h"

#define NODES 700

static uint64_t start_ns, count;
static double period_ns;

static void *write_records(void *worker) {
    struct gv_thread *thread = gv_thread_self();
    CHECK(thread);
    uint64_t seed = (uint64_t)(intptr_t)worker;
    for (uint64_t i = 0; i < count; i++) {
        while (gv_nanoseconds(CLOCK_MONOTONIC) - start_ns < (uint64_t)((double)i * period_ns)) {
            /* The cores are as busy as if this thread computed. */
        }
        struct gv_record record = {
            .start = gv_ticks(),
            .kind = GV_KIND_NODE,
            .detail = (uint16_t)(intptr_t)worker,
            .run = (uint32_t)(i / NODES + 1),
            .node = {.node = (uint32_t)(i % NODES), .work = (uint32_t)(random_u64(&seed) % 2000), .wait = 200},
        };
        gv_put(thread, &record);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK_EQUAL(argc, 4);
    int threads = atoi(argv[1]);
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    count = (uint64_t)(rate * seconds);
    period_ns = 1e9 / rate;
    pthread_t started[64];
    CHECK(threads <= 64 && gv_on());
    puts("started");
    fflush(stdout);
    start_ns = gv_nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < threads; i++) {
        CHECK_EQUAL(pthread_create(&started[i], NULL, write_records, (void *)(intptr_t)i), 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
    }
    printf("%llu %.3f\n", (unsigned long long)count * (unsigned)threads,
           (double)(gv_nanoseconds(CLOCK_MONOTONIC) - start_ns) / 1e9);
}
