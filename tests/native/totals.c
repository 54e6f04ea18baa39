/* Adding spans up by node, and laying them out as columns and events: right sums, and nothing outside of the arrays. */
#include "core/core.h"
#include "support.h"

enum { RUNS = 3, PLACES = 6, KEYS = 2 * PLACES, WORKERS = 2, ROWS = 2, HOSTILE = 20000 };

/* Graph 1 has two nodes (places 1 and 2), graph 2 three (places 3 to 5). */
static const struct gv_run_nodes runs[RUNS] = {
    {.run = 1, .graph = 1, .first = 1, .nodes = 2, .phase = 1},
    {.run = 4, .graph = 2, .first = 3, .nodes = 3, .phase = 0},
    {.run = 9, .graph = 7, .first = 0, .nodes = 0, .phase = 3},
};
static const uint16_t classes[PLACES] = {0, 1, 0, 1, 1, 0};

static uint64_t state = 7;

static uint32_t random32(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static void sums(void) {
    const struct gv_span spans[] = {
        {.begin = 100, .end = 150, .work = 60, .inner = 2, .wait = 5, .run = 1, .node = 0, .threads = 2},
        {.begin = 150, .end = 160, .work = 10, .run = 1, .node = 1, .threads = 1, .fused = 1},
        {.begin = 170, .end = 190, .work = 15, .run = 1, .node = 7, .threads = 1}, /* no such node */
        {.begin = 1, .end = 2, .work = 1, .run = 2, .node = 0},                    /* no such run */
        {.begin = 200, .end = 230, .work = 30, .run = 4, .node = 2, .threads = 1},
        {.begin = 300, .end = 340, .work = 35, .run = 9, .node = 0, .threads = 1}, /* a graph that is not known */
    };
    enum { COUNT = sizeof spans / sizeof *spans };
    struct gv_node_total totals[KEYS] = {0};
    uint32_t keys[COUNT];
    float walls[COUNT], sorted[COUNT];
    uint8_t seen[RUNS] = {0};
    int64_t added = gv_totals_add(spans, COUNT, runs, RUNS, totals, KEYS, keys, walls, seen);
    CHECK_EQUAL(added, 5);
    CHECK(totals[2].count == 1 && totals[2].wall == 50 && totals[2].work == 60 && totals[2].inner == 2);
    CHECK(totals[2].wait == 5 && totals[2].threads == 2 && totals[2].fused == 0);
    CHECK(totals[5].count == 1 && totals[5].wall == 10 && totals[5].fused == 1);
    CHECK(totals[10].count == 1 && totals[10].wall == 30);
    CHECK(totals[0].count == 2 && totals[0].wall == 60 && totals[0].work == 50);
    CHECK(seen[0] && seen[1] && seen[2]);

    uint64_t ends[KEYS] = {0};
    for (int key = 1; key < KEYS; key++) {
        ends[key] = ends[key - 1] + totals[key - 1].count;
    }
    CHECK_EQUAL(gv_totals_group(keys, walls, (size_t)added, ends, KEYS, sorted), 5);
    CHECK(sorted[0] + sorted[1] == 60 && sorted[2] == 50 && sorted[3] == 10 && sorted[4] == 30);
    /* Begins that do not fit the keys are refused, not followed. */
    for (int key = 0; key < KEYS; key++) {
        ends[key] = 4;
    }
    CHECK_EQUAL(gv_totals_group(keys, walls, (size_t)added, ends, KEYS, sorted), GV_E_MALFORMED);
    keys[0] = KEYS;
    CHECK_EQUAL(gv_totals_group(keys, walls, (size_t)added, ends, KEYS, sorted), GV_E_MALFORMED);
}

static void columns(void) {
    const struct gv_span spans[] = {
        {.begin = 1100, .end = 1150, .work = 60, .inner = 2, .wait = 5, .run = 1, .node = 1, .threads = 2, .fused = 1},
        {.begin = 1, .end = 2, .run = 2, .node = 0},
        {.begin = 1200, .end = UINT64_MAX, .work = UINT64_MAX, .run = 4, .node = 9, .threads = 1},
    };
    const struct gv_time_scale scale = {.origin_ticks = 1000, .origin_ns = 50, .ns_per_tick = 2};
    uint32_t run[3] = {0}, graph[3] = {0}, node[3] = {0};
    uint16_t op[3] = {0}, threads[3] = {0};
    uint8_t phase[3] = {0}, fused[3] = {0};
    int64_t begin[3] = {0}, wall[3] = {0}, work[3] = {0};
    struct gv_span_columns out = {run, graph, node, op, threads, phase, fused, begin, wall, work, NULL, NULL};
    CHECK_EQUAL(gv_spans_columns(spans, 3, runs, RUNS, &scale, classes, PLACES, &out, 1), 2);
    CHECK(run[0] == 0 && run[1] == 1 && run[2] == 4);
    CHECK(graph[1] == 1 && node[1] == 1 && op[1] == 0 && threads[1] == 2 && phase[1] == 1 && fused[1] == 1);
    CHECK(begin[1] == 250 && wall[1] == 100 && work[1] == 120);
    CHECK(begin[2] == 450 && wall[2] == INT64_MAX && work[2] == INT64_MAX && op[2] == 0);
}

static void workers(void) {
    const struct gv_record records[] = {
        {.start = 1, .run = 1, .detail = 0, .node = {.node = 0, .work = 5, .inner = 1, .wait = 2}},
        {.start = 1, .run = 1, .detail = 1, .shift = 3, .node = {.node = 0, .work = 5}},
        {.start = 1, .run = 1, .detail = 9, .node = {.node = 0, .work = 5}}, /* no such worker */
        {.start = 1, .run = 3, .detail = 0, .node = {.node = 0, .work = 5}}, /* no such run */
        {.start = 1, .run = 4, .kind = GV_KIND_RUN},
        {.start = 1, .run = 4, .detail = 1, .node = {.node = 2, .work = 7}},
    };
    struct gv_worker_total totals[ROWS * WORKERS] = {0};
    CHECK_EQUAL(gv_workers_add(records, 6, runs, RUNS, classes, PLACES, totals, WORKERS, ROWS), 1);
    CHECK(totals[2].work == 5 && totals[2].inner == 1 && totals[2].wait == 2 && totals[2].count == 1);
    CHECK(totals[3].work == 40 && totals[1].work == 7 && totals[0].count == 0);
}

/* Whatever the records say, what is written stays within the arrays: the sanitizers see to that. */
static void hostile(void) {
    struct gv_record *records = calloc(HOSTILE, sizeof *records);
    struct gv_span *spans = calloc(HOSTILE, sizeof *spans);
    for (int i = 0; i < HOSTILE; i++) {
        const uint32_t some[] = {0, 1, 2, 4, 9, random32(), UINT32_MAX};
        records[i] = (struct gv_record){
            .start = (uint64_t)random32() << (random32() % 33),
            .kind = (uint8_t)(random32() % 5),
            .shift = (uint8_t)random32(),
            .detail = (uint16_t)(random32() % 3 ? random32() % 4 : random32()),
            .run = some[random32() % 7],
            .node = {some[random32() % 7], random32(), random32(), random32()},
        };
    }
    int64_t count = gv_fold_spans(records, HOSTILE, spans, HOSTILE);
    CHECK(count > 0);
    struct gv_node_total totals[KEYS] = {0};
    uint32_t *keys = calloc(HOSTILE, sizeof *keys);
    float *walls = calloc(HOSTILE, sizeof *walls);
    uint8_t seen[RUNS];
    CHECK(gv_totals_add(spans, (size_t)count, runs, RUNS, totals, KEYS, keys, walls, seen) <= count);
    struct gv_worker_total of_workers[ROWS * WORKERS] = {0};
    gv_workers_add(records, HOSTILE, runs, RUNS, classes, PLACES, of_workers, WORKERS, ROWS);

    const uint64_t ends[KEYS + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const uint8_t chosen[PLACES] = {1, 1, 1, 0, 1, 1};
    struct gv_events style = {
        .process = 1,
        .first_track = 1000,
        .sequence = 1,
        .text = (const uint8_t *)"abcdefghijkl",
        .text_ends = ends,
        .chosen = chosen,
        .places = PLACES,
        .workers = WORKERS,
        .until_ns = 1e300,
        .scale = {.ns_per_tick = 0.3},
    };
    for (style.format = GV_EVENTS_CHROME; style.format <= GV_EVENTS_PERFETTO; style.format++) {
        enum { ROOM = 4096 };
        uint8_t *out = malloc(ROOM);
        size_t next = 0;
        int64_t written = 0, whole = 0;
        do {
            written = gv_events_write(records, HOSTILE, runs, RUNS, &style, out, ROOM, &next);
            CHECK(written >= 0 && written <= ROOM);
            whole += written;
        } while (next < HOSTILE);
        CHECK(whole > 0);
        free(out);
    }
    free(records);
    free(spans);
    free(keys);
    free(walls);
}

int main(void) {
    sums();
    columns();
    workers();
    hostile();
    return 0;
}
