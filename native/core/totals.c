/* Adding up the spans of a process by node of its graphs, and laying them out as columns. */
#include <stdbool.h>

#include "core/core.h"

#define GV_NOWHERE 0u

/* The run that a span belongs to; spans come sorted by run, so the search goes on from the last one found. */
static const struct gv_run_nodes *run_of(const struct gv_run_nodes *runs, size_t count, uint32_t number, size_t *at) {
    if (*at < count && runs[*at].run == number) {
        return &runs[*at];
    }
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].run < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *at = low;
    return low < count && runs[low].run == number ? &runs[low] : NULL;
}

int64_t gv_totals_add(const struct gv_span *spans, size_t count, const struct gv_run_nodes *runs, size_t run_count,
                      struct gv_node_total *totals, size_t total_count, uint32_t *keys, float *walls, uint8_t *seen) {
    int64_t added = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gv_span *span = &spans[i];
        const struct gv_run_nodes *run = run_of(runs, run_count, span->run, &at);
        if (!run) {
            continue;
        }
        uint64_t key = GV_NOWHERE;
        if (span->node < run->nodes) {
            key = 2 * ((uint64_t)run->first + span->node) + (span->fused != 0);
        }
        if (key >= total_count) {
            key = GV_NOWHERE;
        }
        uint64_t wall = span->end - span->begin;
        struct gv_node_total *total = &totals[key];
        total->count++;
        total->wall += wall;
        total->work += span->work;
        total->inner += span->inner;
        total->wait += span->wait;
        total->fused = span->fused > total->fused ? span->fused : total->fused;
        total->threads = span->threads > total->threads ? span->threads : total->threads;
        seen[at] = 1;
        keys[added] = (uint32_t)key;
        walls[added] = (float)wall;
        added++;
    }
    return added;
}

int64_t gv_totals_group(const uint32_t *keys, const float *walls, size_t count, uint64_t *ends, size_t key_count,
                        float *out) {
    /* `ends` holds each key's begin first, and grows into its end while its walls are laid down. */
    for (size_t i = 0; i < count; i++) {
        if (keys[i] >= key_count || ends[keys[i]] >= count) {
            return GV_E_MALFORMED;
        }
        out[ends[keys[i]]++] = walls[i];
    }
    return (int64_t)count;
}

int64_t gv_workers_add(const struct gv_record *records, size_t count, const struct gv_run_nodes *runs, size_t run_count,
                       const uint16_t *classes, size_t class_count, struct gv_worker_total *totals, size_t workers,
                       size_t rows) {
    const struct gv_run_nodes *run = NULL;
    uint32_t number = 0;
    bool looked = false;
    size_t at = 0;
    int64_t left_out = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gv_record *record = &records[i];
        if (record->kind != GV_KIND_NODE) {
            continue;
        }
        if (!looked || record->run != number) {
            number = record->run;
            looked = true;
            run = run_of(runs, run_count, number, &at);
        }
        if (!run) {
            continue;
        }
        if (record->detail >= workers) {
            left_out++;
            continue;
        }
        size_t place = GV_NOWHERE;
        if (record->node.node < run->nodes && (uint64_t)run->first + record->node.node < class_count) {
            place = run->first + record->node.node;
        }
        size_t row = classes[place];
        if (row >= rows) {
            left_out++;
            continue;
        }
        unsigned shift = record->shift & 0x0f;
        struct gv_worker_total *total = &totals[row * workers + record->detail];
        total->count++;
        total->work += (uint64_t)record->node.work << shift;
        total->inner += (uint64_t)record->node.inner << shift;
        total->wait += (uint64_t)record->node.wait << shift;
    }
    return left_out;
}

static int64_t in_ns(uint64_t ticks, double ns_per_tick) {
    double ns = (double)ticks * ns_per_tick + 0.5;
    return ns < 9.2e18 ? (int64_t)ns : INT64_MAX;
}

int64_t gv_spans_columns(const struct gv_span *spans, size_t count, const struct gv_run_nodes *runs, size_t run_count,
                         const struct gv_time_scale *scale, const uint16_t *classes, size_t class_count,
                         const struct gv_span_columns *out, size_t offset) {
    size_t at = 0, row = offset;
    for (size_t i = 0; i < count; i++) {
        const struct gv_span *span = &spans[i];
        const struct gv_run_nodes *run = run_of(runs, run_count, span->run, &at);
        if (!run) {
            continue;
        }
        if (out->run) {
            out->run[row] = span->run;
        }
        if (out->graph) {
            out->graph[row] = run->graph;
        }
        if (out->node) {
            out->node[row] = span->node;
        }
        if (out->op) {
            size_t place = GV_NOWHERE;
            if (span->node < run->nodes && (uint64_t)run->first + span->node < class_count) {
                place = run->first + span->node;
            }
            out->op[row] = classes[place];
        }
        if (out->phase) {
            out->phase[row] = run->phase;
        }
        if (out->fused) {
            out->fused[row] = (uint8_t)span->fused;
        }
        if (out->threads) {
            out->threads[row] = span->threads;
        }
        if (out->begin_ns) {
            double since = (double)(int64_t)(span->begin - scale->origin_ticks) * scale->ns_per_tick;
            double ns = since + scale->origin_ns;
            out->begin_ns[row] = ns > -9.2e18 && ns < 9.2e18 ? (int64_t)ns : 0;
        }
        if (out->wall_ns) {
            out->wall_ns[row] = in_ns(span->end - span->begin, scale->ns_per_tick);
        }
        if (out->work_ns) {
            out->work_ns[row] = in_ns(span->work, scale->ns_per_tick);
        }
        if (out->inner_ns) {
            out->inner_ns[row] = in_ns(span->inner, scale->ns_per_tick);
        }
        if (out->wait_ns) {
            out->wait_ns[row] = in_ns(span->wait, scale->ns_per_tick);
        }
        row++;
    }
    return (int64_t)(row - offset);
}
