/* What a timeline shows of a lane: exact spans where there are few, and else how much of each column every kind of
 * work took, which is kept at several widths as records arrive. */
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

/* A level's buckets are four times as wide as those of the one below. */
#define LEVEL_SHIFT 2u
#define MAX_KINDS 8u
#define MAX_SHIFT 58u

/* Buckets of one width. It has room for the newest of them; what is older is on the levels above. */
struct level {
    float *ticks; /* [bucket % buckets][kind][work, wait] */
    uint64_t end; /* bucket behind the newest */
    unsigned shift;
};

struct gv_pyramid {
    uint64_t origin;
    uint64_t limit;   /* nothing is kept of what comes so long after the origin */
    uint64_t buckets; /* of each level, a power of two */
    uint32_t kinds, levels;
    struct level level[];
};

struct gv_pyramid *gv_pyramid_open(uint64_t origin, uint64_t limit, uint32_t shift, uint64_t buckets, uint32_t levels,
                                   uint32_t kinds) {
    if (!levels || !kinds || kinds > MAX_KINDS || !buckets || buckets & (buckets - 1) || buckets > 1u << 24 ||
        shift > MAX_SHIFT || levels > 32 || shift + LEVEL_SHIFT * (levels - 1) > MAX_SHIFT) {
        return NULL;
    }
    struct gv_pyramid *pyramid = calloc(1, sizeof *pyramid + levels * sizeof(struct level));
    if (!pyramid) {
        return NULL;
    }
    pyramid->origin = origin;
    pyramid->limit = limit;
    pyramid->buckets = buckets;
    pyramid->kinds = kinds;
    pyramid->levels = levels;
    for (uint32_t i = 0; i < levels; i++) {
        pyramid->level[i].shift = shift + LEVEL_SHIFT * i;
        /* Of what is never touched no memory is taken. */
        pyramid->level[i].ticks = calloc(buckets, kinds * 2 * sizeof(float));
        if (!pyramid->level[i].ticks) {
            gv_pyramid_close(pyramid);
            return NULL;
        }
    }
    return pyramid;
}

void gv_pyramid_close(struct gv_pyramid *pyramid) {
    for (uint32_t i = 0; i < pyramid->levels; i++) {
        free(pyramid->level[i].ticks);
    }
    free(pyramid);
}

static float *bucket_at(const struct gv_pyramid *pyramid, const struct level *level, uint64_t bucket) {
    return level->ticks + (bucket & (pyramid->buckets - 1)) * pyramid->kinds * 2;
}

/* Makes room for the buckets up to `bucket` in place of the oldest. */
static void extend(struct gv_pyramid *pyramid, struct level *level, uint64_t bucket) {
    uint64_t count = bucket + 1 - level->end;
    size_t bytes = pyramid->kinds * 2 * sizeof(float);
    if (level->end == 0 && bucket < pyramid->buckets) {
        /* They have never been used. */
    } else if (count >= pyramid->buckets) {
        memset(level->ticks, 0, pyramid->buckets * bytes);
    } else {
        for (uint64_t b = level->end; b <= bucket; b++) {
            memset(bucket_at(pyramid, level, b), 0, bytes);
        }
    }
    level->end = bucket + 1;
}

static uint64_t oldest_of(const struct gv_pyramid *pyramid, const struct level *level) {
    return level->end > pyramid->buckets ? level->end - pyramid->buckets : 0;
}

/* Adds `share` of each tick from `begin` to `end` (since the origin) to one of a level's parts. */
static void add_to_level(struct gv_pyramid *pyramid, struct level *level, uint64_t begin, uint64_t end, float share,
                         uint32_t part) {
    uint64_t first = begin >> level->shift, last = (end - 1) >> level->shift;
    if (last >= level->end) {
        extend(pyramid, level, last);
    }
    uint64_t oldest = oldest_of(pyramid, level);
    if (last < oldest) {
        return;
    }
    if (first == last) {
        bucket_at(pyramid, level, first)[part] += share * (float)(end - begin);
        return;
    }
    uint64_t width = 1ull << level->shift;
    if (first >= oldest) {
        bucket_at(pyramid, level, first)[part] += share * (float)(width - (begin & (width - 1)));
    }
    for (uint64_t b = first + 1 > oldest ? first + 1 : oldest; b < last; b++) {
        bucket_at(pyramid, level, b)[part] += share * (float)width;
    }
    bucket_at(pyramid, level, last)[part] += share * (float)(end - (last << level->shift));
}

static void add(struct gv_pyramid *pyramid, uint64_t begin, uint64_t end, float share, uint32_t part) {
    if (end <= pyramid->origin || begin >= end) {
        return;
    }
    begin = begin > pyramid->origin ? begin - pyramid->origin : 0;
    end -= pyramid->origin;
    end = end < pyramid->limit ? end : pyramid->limit;
    if (begin >= end) {
        return;
    }
    for (uint32_t i = 0; i < pyramid->levels; i++) {
        add_to_level(pyramid, &pyramid->level[i], begin, end, share, part);
    }
}

/* The end of a span that begins at `begin`; the end of time, where it would be beyond. */
static uint64_t end_of(uint64_t begin, uint64_t ticks) {
    return begin + ticks < begin ? UINT64_MAX : begin + ticks;
}

/* Barriers inside a node are spread over its work: when each was is not recorded. */
static void add_node(struct gv_pyramid *pyramid, const struct gv_record *record, uint32_t kind) {
    unsigned shift = record->shift & 0x0f;
    uint64_t work = (uint64_t)record->node.work << shift, inner = (uint64_t)record->node.inner << shift;
    uint64_t busy_end = end_of(record->start, work + inner);
    uint64_t end = end_of(busy_end, (uint64_t)record->node.wait << shift);
    if (work + inner) {
        float share = (float)work / (float)(work + inner);
        add(pyramid, record->start, busy_end, share, kind * 2);
        if (inner) {
            add(pyramid, record->start, busy_end, 1 - share, kind * 2 + 1);
        }
    }
    add(pyramid, busy_end, end, 1, kind * 2 + 1);
}

/* The place of a NODE record and whether it is fused, as an index: 2 * place + fused. 0: it has none. */
static size_t key_of(const struct gv_record *record, const struct gv_run_nodes *run, size_t key_count) {
    size_t key = 0;
    if (run && record->node.node < run->nodes) {
        key = 2 * ((size_t)run->first + record->node.node) + (record->shift >> 4 != 0);
    }
    return key < key_count ? key : 0;
}

/* Finds runs where the last one that was found is likely it. */
struct run_finder {
    const struct gv_run_nodes *runs;
    size_t count;
    const struct gv_run_nodes *found;
    uint32_t number;
    bool looked;
};

static const struct gv_run_nodes *find(struct run_finder *finder, uint32_t number) {
    if (!finder->looked || finder->number != number) {
        finder->looked = true;
        finder->number = number;
        finder->found = gv_find_run(finder->runs, finder->count, number);
    }
    return finder->found;
}

int64_t gv_pyramids_add(struct gv_pyramid *const *pyramids, size_t workers, const struct gv_record *records,
                        size_t count, const struct gv_run_nodes *runs, size_t run_count, const uint8_t *kinds,
                        size_t key_count) {
    struct run_finder finder = {.runs = runs, .count = run_count};
    int64_t left_out = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gv_record *record = &records[i];
        if (record->kind != GV_KIND_NODE) {
            continue;
        }
        size_t worker = record->detail;
        uint32_t kind = kinds[key_of(record, find(&finder, record->run), key_count)];
        if (worker >= workers || !pyramids[worker] || kind >= pyramids[worker]->kinds) {
            left_out++;
            continue;
        }
        add_node(pyramids[worker], record, kind);
    }
    return left_out;
}

/* The widest buckets that are no wider than a column and still there; if all those are gone, the finest that are. */
static const struct level *level_for(const struct gv_pyramid *pyramid, uint64_t from, double column) {
    const struct level *best = NULL;
    for (uint32_t i = 0; i < pyramid->levels; i++) {
        const struct level *level = &pyramid->level[i];
        if (from >> level->shift < oldest_of(pyramid, level)) {
            continue;
        }
        if (best && (double)(1ull << level->shift) > column) {
            break;
        }
        best = level;
    }
    return best ? best : &pyramid->level[pyramid->levels - 1];
}

int64_t gv_pyramid_read(const struct gv_pyramid *pyramid, double from, double until, size_t columns, uint8_t *out) {
    size_t parts = pyramid->kinds * 2;
    memset(out, 0, columns * parts);
    double width = (until - from) / (double)columns;
    if (!(width > 0) || !(until > 0) || !(until < 1.8e19) || !(from > -1.8e19)) {
        return 0;
    }
    const struct level *level = level_for(pyramid, from > 0 ? (uint64_t)from : 0, width);
    double bucket_ticks = (double)(1ull << level->shift);
    uint64_t oldest = oldest_of(pyramid, level);
    for (size_t column = 0; column < columns; column++) {
        double begin = from + width * (double)column, end = begin + width;
        if (end <= 0 || begin >= (double)level->end * bucket_ticks) {
            continue;
        }
        begin = begin < 0 ? 0 : begin;
        uint64_t first = (uint64_t)(begin / bucket_ticks), last = (uint64_t)(end / bucket_ticks);
        first = first < oldest ? oldest : first;
        last = last >= level->end ? level->end - 1 : last;
        float sums[MAX_KINDS * 2] = {0};
        for (uint64_t b = first; b <= last; b++) {
            double left = (double)b * bucket_ticks, right = left + bucket_ticks;
            double overlap = (end < right ? end : right) - (begin > left ? begin : left);
            if (overlap <= 0) {
                continue;
            }
            float share = (float)(overlap / bucket_ticks);
            const float *ticks = bucket_at(pyramid, level, b);
            for (size_t part = 0; part < parts; part++) {
                sums[part] += ticks[part] * share;
            }
        }
        for (size_t part = 0; part < parts; part++) {
            float share = sums[part] / (float)width * 255.0f + 0.5f;
            out[column * parts + part] = share < 255 ? (uint8_t)share : 255;
        }
    }
    return (int64_t)level->shift;
}

int64_t gv_lane_spans(const struct gv_record *records, size_t count, uint32_t worker, const struct gv_run_nodes *runs,
                      size_t run_count, const uint32_t *labels, size_t key_count, double from, double until,
                      const struct gv_lane_columns *out, size_t capacity) {
    struct run_finder finder = {.runs = runs, .count = run_count};
    double scale = 1 / (until - from);
    size_t row = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gv_record *record = &records[i];
        if (record->kind != GV_KIND_NODE || record->detail != worker) {
            continue;
        }
        unsigned shift = record->shift & 0x0f;
        double wait = (double)(((uint64_t)record->node.inner + record->node.wait) << shift);
        double ticks = (double)((uint64_t)record->node.work << shift) + wait;
        double begin = (double)record->start;
        if (begin >= until || begin + ticks <= from) {
            continue;
        }
        if (row == capacity) {
            return GV_E_SPACE;
        }
        out->begin[row] = (float)((begin - from) * scale);
        out->duration[row] = (float)(ticks * scale);
        out->wait[row] = (float)(wait * scale);
        out->run[row] = record->run;
        out->node[row] = record->node.node;
        out->label[row] = labels[key_of(record, find(&finder, record->run), key_count)];
        row++;
    }
    return (int64_t)row;
}
