/* What a timeline shows of a lane: shares that add up at every width, spans where they are, nothing outside of arrays.
 */
#include "core/core.h"
#include "support.h"

enum { RUNS = 1, KEYS = 6, KINDS = 3, COLUMNS = 50, HOSTILE = 20000 };

static const struct gv_run_nodes runs[RUNS] = {{.run = 1, .graph = 1, .first = 1, .nodes = 2}};
static const uint8_t kinds[KEYS] = {2, 2, 0, 0, 1, 1};
static const uint32_t labels[KEYS] = {0, 0, 5, 6, 7, 8};

static uint64_t state = 11;

static uint32_t random32(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static struct gv_record node(uint64_t start, uint32_t number, uint32_t work, uint32_t inner, uint32_t wait) {
    return (struct gv_record){.start = start,
                              .kind = GV_KIND_NODE,
                              .run = 1,
                              .node = {.node = number, .work = work, .inner = inner, .wait = wait}};
}

static unsigned sum_of(const uint8_t *shares, unsigned kind, unsigned part) {
    unsigned sum = 0;
    for (unsigned column = 0; column < COLUMNS; column++) {
        sum += shares[(column * KINDS + kind) * 2 + part];
    }
    return sum;
}

/* A node of kind 0 that works 600 ticks and waits 400, 200 of them inside; then one of kind 1 that works 1000. */
static void shares(void) {
    const struct gv_record records[] = {node(1000, 0, 600, 200, 200), node(2000, 1, 1000, 0, 0)};
    struct gv_pyramid *pyramid = gv_pyramid_open(1000, UINT64_MAX, 2, 4096, 5, KINDS);
    CHECK(pyramid);
    CHECK_EQUAL(gv_pyramids_add(&pyramid, 1, records, 2, runs, RUNS, kinds, KEYS), 0);
    uint8_t out[COLUMNS * KINDS * 2];
    gv_pyramid_read(pyramid, 0, 2000, COLUMNS, out);
    unsigned whole = COLUMNS * 255;
    CHECK(sum_of(out, 0, 0) * 100 / whole == 30 || sum_of(out, 0, 0) * 100 / whole == 29); /* 600 of 2000 */
    CHECK(sum_of(out, 0, 1) * 100 / whole == 20 || sum_of(out, 0, 1) * 100 / whole == 19);
    CHECK(sum_of(out, 1, 0) * 100 / whole == 50 || sum_of(out, 1, 0) * 100 / whole == 49);
    CHECK(!sum_of(out, 1, 1) && !sum_of(out, 2, 0) && !sum_of(out, 2, 1));
    /* At a width of a thousand buckets the same, and half of it where half of the window is empty. */
    gv_pyramid_read(pyramid, -2000, 2000, COLUMNS, out);
    CHECK(sum_of(out, 0, 0) * 100 / whole >= 14 && sum_of(out, 0, 0) * 100 / whole <= 15);
    gv_pyramid_close(pyramid);
}

/* Of each width the newest buckets stay; what is older is still there at greater widths. */
static void old_is_coarse(void) {
    struct gv_pyramid *pyramid = gv_pyramid_open(0, UINT64_MAX, 0, 64, 4, KINDS);
    for (uint64_t at = 0; at < 1024; at += 8) {
        struct gv_record record = node(at, 0, 4, 0, 0);
        gv_pyramids_add(&pyramid, 1, &record, 1, runs, RUNS, kinds, KEYS);
    }
    uint8_t out[COLUMNS * KINDS * 2];
    for (double from = 0; from < 1024; from += 256) {
        gv_pyramid_read(pyramid, from, from + 256, COLUMNS, out);
        unsigned percent = sum_of(out, 0, 0) * 100 / (COLUMNS * 255);
        CHECK(percent >= 47 && percent <= 52);
    }
    gv_pyramid_close(pyramid);
}

static void limits(void) {
    CHECK(!gv_pyramid_open(0, 1, 0, 63, 1, 1));  /* no power of two */
    CHECK(!gv_pyramid_open(0, 1, 60, 64, 9, 1)); /* wider than time is long */
    CHECK(!gv_pyramid_open(0, 1, 0, 64, 1, 9));
    struct gv_pyramid *pyramid = gv_pyramid_open(0, 64, 0, 64, 1, KINDS);
    const struct gv_record records[] = {node(0, 0, 10, 0, 0), node(1000, 0, 10, 0, 0),
                                        node(UINT64_MAX - 5, 0, 10, 0, 0)};
    CHECK_EQUAL(gv_pyramids_add(&pyramid, 1, records, 3, runs, RUNS, kinds, KEYS), 0);
    uint8_t out[COLUMNS * KINDS * 2];
    gv_pyramid_read(pyramid, 0, 50, COLUMNS, out);
    CHECK_EQUAL(sum_of(out, 0, 0), 10 * 255);
    gv_pyramid_close(pyramid);
}

static void spans(void) {
    struct gv_record records[] = {node(1000, 0, 600, 200, 200), node(2000, 1, 1000, 0, 0), node(4000, 1, 10, 0, 0),
                                  node(1500, 0, 10, 0, 0)};
    records[3].detail = 1;     /* another worker */
    records[1].shift = 1 << 4; /* fused */
    float begin[4], duration[4], wait[4];
    uint32_t run[4], number[4], label[4];
    const struct gv_lane_columns out = {begin, duration, wait, run, number, label};
    CHECK_EQUAL(gv_lane_spans(records, 4, 0, runs, RUNS, labels, KEYS, 1000, 3000, &out, 4), 2);
    CHECK(begin[0] == 0 && duration[0] == 0.5f && wait[0] == 0.2f);
    CHECK(begin[1] == 0.5f && duration[1] == 0.5f && wait[1] == 0);
    CHECK(label[0] == 5 && label[1] == 8 && number[1] == 1 && run[0] == 1);
    CHECK_EQUAL(gv_lane_spans(records, 4, 0, runs, RUNS, labels, KEYS, 1000, 3000, &out, 1), GV_E_SPACE);
}

static void hostile(void) {
    struct gv_pyramid *pyramids[2] = {gv_pyramid_open(1u << 20, UINT64_MAX, 4, 1024, 6, KINDS),
                                      gv_pyramid_open(0, 1u << 16, 6, 1024, 1, KINDS)};
    uint8_t out[COLUMNS * KINDS * 2];
    float times[3];
    uint32_t numbers[3];
    const struct gv_lane_columns columns = {&times[0], &times[1], &times[2], &numbers[0], &numbers[1], &numbers[2]};
    for (int i = 0; i < HOSTILE; i++) {
        struct gv_record record = {0};
        for (size_t word = 0; word < sizeof record / 4; word++) {
            uint32_t value = random32() >> (random32() & 31);
            memcpy((uint8_t *)&record + 4 * word, &value, 4);
        }
        record.kind = GV_KIND_NODE;
        gv_pyramids_add(pyramids, 2, &record, 1, runs, RUNS, kinds, KEYS);
        double from = (double)random32() * (double)(random32() & 1 ? 1 : -4e9), width = (double)random32();
        gv_pyramid_read(pyramids[i & 1], from, from + width, COLUMNS, out);
        gv_lane_spans(&record, 1, record.detail, runs, RUNS, labels, KEYS, from, from + width + 1, &columns, 1);
    }
    gv_pyramid_close(pyramids[0]);
    gv_pyramid_close(pyramids[1]);
}

int main(void) {
    shares();
    old_is_coarse();
    limits();
    spans();
    hostile();
    return 0;
}
