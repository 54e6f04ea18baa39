/* Folding the records of all threads into one span for each executed node.
 *
 * The spans of a run lie next to each other, by node. Where every record goes is found by counting, not by
 * sorting: runs are numbered densely, and in a run nodes lie between a first and a last. Only input in which
 * they do not (nothing that the agent writes) is sorted. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

#define ABSENT UINT32_MAX

struct run_range {
    uint32_t run;
    uint32_t first, last; /* nodes */
    uint64_t base;        /* of its nodes among the places */
};

struct runs {
    struct run_range *ranges; /* sorted by run */
    size_t count, capacity;
    uint32_t *table; /* hash of run -> index in ranges, before they are sorted */
    size_t mask;
};

/* Of the product, the upper half: the lower bits of runs may all be the same. */
static size_t hash_run(uint32_t run) {
    return (size_t)(run * 0x9e3779b97f4a7c15ull >> 32);
}

static bool grow(struct runs *runs) {
    size_t capacity = runs->capacity ? runs->capacity * 2 : 1024;
    struct run_range *ranges = realloc(runs->ranges, capacity * sizeof *ranges);
    if (!ranges) {
        return false;
    }
    runs->ranges = ranges;
    uint32_t *table = malloc(capacity * 2 * sizeof *table);
    if (!table) {
        return false;
    }
    free(runs->table);
    runs->table = table;
    runs->capacity = capacity;
    runs->mask = capacity * 2 - 1;
    memset(table, 0xff, capacity * 2 * sizeof *table);
    for (size_t i = 0; i < runs->count; i++) {
        size_t at = hash_run(ranges[i].run) & runs->mask;
        while (table[at] != ABSENT) {
            at = (at + 1) & runs->mask;
        }
        table[at] = (uint32_t)i;
    }
    return true;
}

static struct run_range *find_or_add(struct runs *runs, uint32_t run) {
    if (runs->count == runs->capacity && !grow(runs)) {
        return NULL;
    }
    size_t at = hash_run(run) & runs->mask;
    for (; runs->table[at] != ABSENT; at = (at + 1) & runs->mask) {
        struct run_range *range = &runs->ranges[runs->table[at]];
        if (range->run == run) {
            return range;
        }
    }
    runs->table[at] = (uint32_t)runs->count;
    runs->ranges[runs->count] = (struct run_range){.run = run, .first = UINT32_MAX};
    return &runs->ranges[runs->count++];
}

static int by_run(const void *a, const void *b) {
    const struct run_range *x = a, *y = b;
    return (x->run > y->run) - (x->run < y->run);
}

/* Finds the runs and the range of nodes in each. */
static bool collect_runs(struct runs *runs, const struct gv_record *records, size_t count, size_t *nodes) {
    struct run_range *range = NULL;
    *nodes = 0;
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind != GV_KIND_NODE) {
            continue;
        }
        ++*nodes;
        if (!range || range->run != records[i].run) {
            range = find_or_add(runs, records[i].run);
            if (!range) {
                return false;
            }
        }
        uint32_t node = records[i].node.node;
        range->first = node < range->first ? node : range->first;
        range->last = node > range->last ? node : range->last;
    }
    return true;
}

static void add(struct gv_span *span, const struct gv_record *record) {
    unsigned shift = record->shift & 0x0f;
    uint64_t work = (uint64_t)record->node.work << shift;
    uint64_t inner = (uint64_t)record->node.inner << shift;
    uint64_t wait = (uint64_t)record->node.wait << shift;
    uint64_t work_end = record->start + work + inner, end = work_end + wait;
    if (!span->threads) {
        *span = (struct gv_span){.begin = record->start, .end = end, .run = record->run, .node = record->node.node};
    }
    span->begin = record->start < span->begin ? record->start : span->begin;
    /* The barrier opens when the last thread arrives; whoever leaves it first begins the next node. A thread that
     * the system wakes later was not what the node took. */
    span->end = end < span->end ? end : span->end;
    span->work_end = work_end > span->work_end ? work_end : span->work_end;
    span->end = span->end < span->work_end ? span->work_end : span->end;
    span->work += work;
    span->inner += inner;
    span->wait += wait;
    span->fused = record->shift >> 4;
    if (span->threads < UINT16_MAX) {
        span->threads++;
    }
}

/* Folds by counting: `places` maps (run, node) to a span. */
static int64_t fold_dense(struct runs *runs, uint64_t total, const struct gv_record *records, size_t count,
                          struct gv_span *out, size_t capacity) {
    uint32_t *places = malloc((total ? total : 1) * sizeof *places);
    if (!places) {
        return GV_E_SPACE;
    }
    memset(places, 0xff, total * sizeof *places);
    int64_t spans = 0;
    for (int pass = 0; pass < 2; pass++) {
        const struct run_range *range = NULL;
        for (size_t i = 0; i < count; i++) {
            const struct gv_record *record = &records[i];
            if (record->kind != GV_KIND_NODE) {
                continue;
            }
            if (!range || range->run != record->run) {
                struct run_range key = {.run = record->run};
                range = bsearch(&key, runs->ranges, runs->count, sizeof key, by_run);
            }
            uint32_t *place = &places[range->base + (record->node.node - range->first)];
            if (pass == 0) {
                *place = 0;
            } else {
                add(&out[*place], record);
            }
        }
        if (pass == 0) {
            for (uint64_t i = 0; i < total; i++) {
                if (places[i] != ABSENT) {
                    places[i] = (uint32_t)spans++;
                }
            }
            if ((size_t)spans > capacity) {
                free(places);
                return GV_E_SPACE;
            }
            memset(out, 0, (size_t)spans * sizeof *out);
        }
    }
    free(places);
    return spans;
}

static int by_run_and_node(const void *a, const void *b) {
    const struct gv_record *x = *(const struct gv_record *const *)a, *y = *(const struct gv_record *const *)b;
    if (x->run != y->run) {
        return x->run < y->run ? -1 : 1;
    }
    if (x->node.node != y->node.node) {
        return x->node.node < y->node.node ? -1 : 1;
    }
    return (x > y) - (x < y);
}

static int64_t fold_sorted(size_t nodes, const struct gv_record *records, size_t count, struct gv_span *out,
                           size_t capacity) {
    const struct gv_record **order = malloc((nodes ? nodes : 1) * sizeof *order);
    if (!order) {
        return GV_E_SPACE;
    }
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == GV_KIND_NODE) {
            order[filled++] = &records[i];
        }
    }
    qsort(order, nodes, sizeof *order, by_run_and_node);
    int64_t spans = 0;
    for (size_t i = 0; i < nodes; i++) {
        bool first = i == 0 || order[i]->run != order[i - 1]->run || order[i]->node.node != order[i - 1]->node.node;
        if (first) {
            if ((size_t)spans == capacity) {
                free(order);
                return GV_E_SPACE;
            }
            memset(&out[spans++], 0, sizeof *out);
        }
        add(&out[spans - 1], order[i]);
    }
    free(order);
    return spans;
}

int64_t gv_fold_spans(const struct gv_record *records, size_t count, struct gv_span *out, size_t capacity) {
    struct runs runs = {0};
    size_t nodes = 0;
    int64_t spans = GV_E_SPACE;
    if (collect_runs(&runs, records, count, &nodes)) {
        if (runs.count) {
            qsort(runs.ranges, runs.count, sizeof *runs.ranges, by_run);
        }
        uint64_t total = 0;
        for (size_t i = 0; i < runs.count; i++) {
            runs.ranges[i].base = total;
            total += (uint64_t)runs.ranges[i].last - runs.ranges[i].first + 1;
        }
        bool dense = total <= 8 * (uint64_t)nodes + 65536 && total < ABSENT;
        spans = dense ? fold_dense(&runs, total, records, count, out, capacity)
                      : fold_sorted(nodes, records, count, out, capacity);
    }
    free(runs.ranges);
    free(runs.table);
    return spans;
}
