/* Folding records into spans, against the plainest way to do it. */
#include <time.h>

#include "core/core.h"
#include "support.h"

static int by_run_and_node(const void *a, const void *b) {
    const struct gv_record *x = a, *y = b;
    if (x->run != y->run) {
        return x->run < y->run ? -1 : 1;
    }
    return (x->node.node > y->node.node) - (x->node.node < y->node.node);
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Sorts, then looks at the records of one span after another. Leaves out `fused`, which records agree on. */
static size_t fold_plainly(const struct gv_record *records, size_t count, struct gv_span *out) {
    struct gv_record *nodes = malloc((count + 1) * sizeof *nodes);
    size_t n = 0, spans = 0;
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == GV_KIND_NODE) {
            nodes[n++] = records[i];
        }
    }
    qsort(nodes, n, sizeof *nodes, by_run_and_node);
    for (size_t first = 0, last; first < n; first = last) {
        struct gv_span span = {.run = nodes[first].run, .node = nodes[first].node.node, .begin = UINT64_MAX};
        uint64_t first_exit = UINT64_MAX;
        for (last = first; last < n && by_run_and_node(&nodes[first], &nodes[last]) == 0; last++) {
            const struct gv_record *r = &nodes[last];
            unsigned shift = r->shift & 15;
            uint64_t work = (uint64_t)r->node.work << shift, inner = (uint64_t)r->node.inner << shift;
            uint64_t wait = (uint64_t)r->node.wait << shift;
            span.begin = smaller(span.begin, r->start);
            span.work_end = larger(span.work_end, r->start + work + inner);
            first_exit = smaller(first_exit, r->start + work + inner + wait);
            span.work += work;
            span.inner += inner;
            span.wait += wait;
            span.fused = r->shift >> 4;
            span.threads++;
        }
        span.end = larger(first_exit, span.work_end);
        out[spans++] = span;
    }
    free(nodes);
    return spans;
}

static void compare(const struct gv_record *records, size_t count) {
    struct gv_span *expected = malloc((count + 1) * sizeof *expected);
    size_t spans = fold_plainly(records, count, expected);
    struct gv_span *folded = malloc((spans + 1) * sizeof *folded);
    CHECK_EQUAL(gv_fold_spans(records, count, folded, spans), spans);
    for (size_t i = 0; i < spans; i++) {
        CHECK(memcmp(&expected[i], &folded[i], sizeof *folded) == 0);
    }
    if (spans) {
        CHECK_EQUAL(gv_fold_spans(records, count, folded, spans - 1), GV_E_SPACE);
    }
    free(expected);
    free(folded);
}

/* What threads record of a few runs, in any order. `spread`: how far apart the numbers of runs and nodes are. */
static void like_a_trace(uint64_t *seed, uint32_t runs, uint32_t nodes, uint32_t threads, uint32_t run_spread,
                         uint32_t node_spread) {
    size_t count = 0, capacity = (size_t)runs * nodes * threads + runs;
    struct gv_record *records = calloc(capacity, sizeof *records);
    for (uint32_t run = 0; run < runs; run++) {
        for (uint32_t node = 0; node < nodes; node++) {
            uint64_t start = 1000000 + random_u64(seed) % 100000;
            for (uint32_t worker = 0; worker < threads; worker++) {
                records[count++] = (struct gv_record){
                    .start = start + random_u64(seed) % 100,
                    .kind = GV_KIND_NODE,
                    .shift = (uint8_t)(node % 3 | node % 2 << 4),
                    .detail = (uint16_t)worker,
                    .run = (run + 1) * run_spread,
                    .node = {.node = node * node_spread,
                             .work = (uint32_t)random_wide(seed),
                             .inner = (uint32_t)random_wide(seed),
                             .wait = (uint32_t)random_wide(seed)},
                };
            }
        }
        records[count++] = (struct gv_record){.kind = GV_KIND_RUN, .run = (run + 1) * run_spread};
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = random_u64(seed) % i;
        struct gv_record record = records[i - 1];
        records[i - 1] = records[other];
        records[other] = record;
    }
    compare(records, count);
    free(records);
}

/* Numbers that a clumsy table would put all in one place, or make room for all between them. */
static void hostile(uint64_t *seed) {
    enum { COUNT = 200000 };
    struct gv_record *records = calloc(COUNT, sizeof *records);
    const uint32_t steps[] = {1u << 12, 1u << 15, 1u << 20, 0x9e3779b1u, 0x10001u};
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            records[i] = (struct gv_record){.kind = GV_KIND_NODE, .run = i * steps[s], .node = {.node = i * 77777u}};
        }
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        compare(records, COUNT);
        clock_gettime(CLOCK_MONOTONIC, &after);
        CHECK(after.tv_sec - before.tv_sec < 4);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        records[i] = random_record(seed);
        records[i].shift &= 15; /* the plain way does not say which record's fused count it keeps */
    }
    compare(records, 1000);
    records[0] = (struct gv_record){.run = UINT32_MAX, .node = {.node = UINT32_MAX}};
    records[1] = (struct gv_record){0};
    compare(records, 2);
    free(records);
}

int main(void) {
    uint64_t seed = 4;
    compare(NULL, 0);
    like_a_trace(&seed, 1, 1, 1, 1, 1);
    like_a_trace(&seed, 5, 40, 2, 1, 1);
    like_a_trace(&seed, 3000, 20, 2, 1, 2);
    like_a_trace(&seed, 300, 5, 3, 1000003, 1);
    like_a_trace(&seed, 30, 50, 16, 1, 90001);
    hostile(&seed);
}
