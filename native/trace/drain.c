/* Draining: definitions before the records that refer to them, nothing twice, every loss counted. */
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/platform.h"
#include "ring/ring.h"
#include "trace/drain.h"
#include "trace/records.h"
#include "trace/varint.h"

#define BATCH 8192u
#define DEFS_BATCH (1u << 20)
#define ENDED_RUNS 1024u
#define META_INTERVAL_NS 1000000000u

struct ring_state {
    uint64_t position; /* of the next record to read */
    uint64_t head;     /* as read at the start of a step */
    uint64_t lost;
    uint64_t taken;         /* position + 1 of the record that was taken early; 0: none */
    uint64_t last_position; /* where a last node waited at the previous step, + 1; 0: none */
};

struct gv_drain {
    struct gv_view view;
    struct gv_writer *writer;
    uint32_t process;
    uint64_t log_position;
    uint64_t next_meta_ns;
    uint64_t latest;  /* the latest end of any record, in ticks */
    uint64_t records; /* written to the file */
    uint64_t added;   /* of these, not by the process itself */
    bool run_ended;   /* a run has ended since the last nodes were looked for */
    struct {
        uint32_t run;
        uint64_t end;
    } ended[ENDED_RUNS];
    struct gv_record batch[BATCH];
    uint8_t payload[GV_RECORDS_HEAD_MAX + BATCH * GV_RECORD_ENCODED_MAX];
    struct ring_state rings[];
};

struct gv_drain *gv_drain_open(const struct gv_view *view, struct gv_writer *writer, uint32_t process) {
    struct gv_drain *drain = calloc(1, sizeof *drain + view->ring_count * sizeof(struct ring_state));
    if (drain) {
        drain->view = *view;
        drain->writer = writer;
        drain->process = process;
    }
    return drain;
}

static void write_chunk(struct gv_drain *drain, uint32_t kind, const void *payload, size_t length) {
    gv_writer_chunk(drain->writer, kind, drain->process, payload, length);
}

static void write_definitions(struct gv_drain *drain) {
    uint64_t tail = atomic_load_explicit(&drain->view.segment->log_tail, memory_order_acquire);
    if (tail > drain->view.log_capacity) {
        return;
    }
    while (drain->log_position < tail) {
        const uint8_t *at = drain->view.log + drain->log_position;
        uint64_t left = tail - drain->log_position, length = 0;
        while (length < left) {
            struct gv_definition_header header;
            memcpy(&header, at + length, sizeof header);
            if (header.length < sizeof header || header.length % 8 || header.length > left - length) {
                drain->log_position = tail; /* not our writer's work: leave it out */
                return;
            }
            if (length && length + header.length > DEFS_BATCH) {
                break;
            }
            length += header.length;
        }
        write_chunk(drain, GV_CHUNK_DEFS, at, length);
        drain->log_position += length;
    }
}

static void note_run(struct gv_drain *drain, const struct gv_record *record) {
    if (record->kind == GV_KIND_RUN) {
        drain->ended[record->run % ENDED_RUNS].run = record->run;
        drain->ended[record->run % ENDED_RUNS].end =
            record->start + ((uint64_t)record->graph_run.duration << (record->shift & 0x0f));
        drain->run_ended = true;
    }
}

static void write_records(struct gv_drain *drain, uint32_t ring, const struct gv_record *records, size_t count) {
    if (!count) {
        return;
    }
    struct gv_records_state state = {0};
    uint8_t *out = gv_varint_put(drain->payload, ring);
    out = gv_varint_put(out, count);
    for (size_t i = 0; i < count; i++) {
        out = gv_record_encode(&state, &records[i], out);
        note_run(drain, &records[i]);
    }
    if (state.end > drain->latest) {
        drain->latest = state.end;
    }
    write_chunk(drain, GV_CHUNK_RECS, drain->payload, (size_t)(out - drain->payload));
    drain->records += count;
}

/* Leaves out the record that was taken early, if it is among `count` records that end before `position`. */
static size_t without_taken(struct ring_state *state, struct gv_record *records, size_t count, uint64_t position) {
    uint64_t first = position - count;
    if (!state->taken || state->taken - 1 >= position) {
        return count;
    }
    uint64_t taken = state->taken - 1;
    state->taken = 0;
    if (taken < first) {
        state->lost--; /* it had been overtaken, but was safe already */
        return count;
    }
    size_t at = (size_t)(taken - first);
    memmove(&records[at], &records[at + 1], (count - at - 1) * sizeof *records);
    return count - 1;
}

/* The last node of a run on each worker, once the run has ended and the worker found nothing new to do for a
 * whole step: see "The last node" in docs/architecture.md. */
static void take_last_nodes(struct gv_drain *drain, bool at_once) {
    for (uint32_t i = 0; i < drain->view.ring_count; i++) {
        struct ring_state *state = &drain->rings[i];
        uint32_t run = atomic_load_explicit(&drain->view.rings[i].current.run, memory_order_relaxed);
        struct gv_record record;
        if (drain->ended[run % ENDED_RUNS].run != run || !run || state->taken == state->position + 1 ||
            !gv_view_take_last(&drain->view, i, state->position, run, drain->ended[run % ENDED_RUNS].end, &record)) {
            state->last_position = 0;
        } else if (at_once || state->last_position == state->position + 1) {
            write_records(drain, i, &record, 1);
            state->taken = state->position + 1;
            state->last_position = 0;
        } else {
            state->last_position = state->position + 1;
            drain->run_ended = true;
        }
    }
}

static void write_meta(struct gv_drain *drain) {
    uint64_t sample[3];
    gv_clock_sample(sample);
    write_chunk(drain, GV_CHUNK_CLOK, sample, sizeof sample);
    struct gv_stat stat = gv_drain_stat(drain);
    write_chunk(drain, GV_CHUNK_STAT, &stat, sizeof stat);
    drain->next_meta_ns = sample[1] + META_INTERVAL_NS;
}

static unsigned drain_rings(struct gv_drain *drain) {
    unsigned fullest = 0;
    uint32_t count = drain->view.ring_count;
    uint64_t capacity = drain->view.ring_records;
    /* Heads first, definitions second, records last: whatever the records refer to is then written before. */
    for (uint32_t i = 0; i < count; i++) {
        struct ring_state *state = &drain->rings[i];
        state->head = atomic_load_explicit(&drain->view.rings[i].head, memory_order_acquire);
        uint64_t behind = state->head - state->position;
        unsigned percent = behind >= capacity ? 100 : (unsigned)(behind * 100 / capacity);
        fullest = percent > fullest ? percent : fullest;
    }
    write_definitions(drain);
    for (uint32_t i = 0; i < count; i++) {
        struct ring_state *state = &drain->rings[i];
        while (state->position < state->head) {
            size_t got =
                gv_view_copy(&drain->view, i, &state->position, state->head, drain->batch, BATCH, &state->lost);
            got = without_taken(state, drain->batch, got, state->position);
            write_records(drain, i, drain->batch, got);
        }
    }
    return fullest;
}

unsigned gv_drain_step(struct gv_drain *drain) {
    if (drain->next_meta_ns == 0) {
        const struct gv_segment *s = drain->view.segment;
        uint64_t start[3] = {s->start_ticks, s->start_monotonic_ns, s->start_wall_ns};
        write_definitions(drain);
        write_chunk(drain, GV_CHUNK_CLOK, start, sizeof start);
        write_meta(drain);
    }
    unsigned fullest = drain_rings(drain);
    if (drain->run_ended) {
        drain->run_ended = false;
        take_last_nodes(drain, false);
    }
    if (gv_nanoseconds(CLOCK_MONOTONIC) >= drain->next_meta_ns) {
        write_meta(drain);
    }
    return fullest;
}

/* A run that is still in progress in a dead process: written with all that is known of it. */
static bool write_unfinished_runs(struct gv_drain *drain) {
    bool any = false;
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        struct gv_active_run *active = &drain->view.segment->active[i];
        uint32_t run = atomic_load_explicit(&active->run, memory_order_acquire);
        if (!run || drain->ended[run % ENDED_RUNS].run == run) {
            continue;
        }
        any = true;
        uint64_t start = atomic_load_explicit(&active->start, memory_order_relaxed);
        uint64_t duration = drain->latest > start ? drain->latest - start : 0;
        struct gv_record record = {
            .start = start,
            .kind = GV_KIND_RUN,
            .shift = gv_duration_shift(duration),
            .detail = GV_STATUS_UNFINISHED,
            .run = run,
            .graph_run = {.graph = atomic_load_explicit(&active->graph, memory_order_relaxed),
                          .placement = atomic_load_explicit(&active->placement, memory_order_relaxed),
                          .duration = gv_duration(duration, gv_duration_shift(duration))},
        };
        write_records(drain, 0, &record, 1);
        drain->added++;
    }
    return any;
}

uint64_t gv_drain_close(struct gv_drain *drain, enum gv_done reason, struct gv_stat *stat) {
    gv_drain_step(drain);
    take_last_nodes(drain, true);
    if (write_unfinished_runs(drain) && reason == GV_DONE_ENDED) {
        reason = GV_DONE_ABNORMAL;
    }
    write_meta(drain);
    uint32_t word = reason;
    write_chunk(drain, GV_CHUNK_DONE, &word, sizeof word);
    *stat = gv_drain_stat(drain);
    uint64_t records = drain->records;
    gv_drain_abandon(drain);
    return records;
}

void gv_drain_abandon(struct gv_drain *drain) {
    gv_view_close(&drain->view);
    free(drain);
}

struct gv_stat gv_drain_stat(const struct gv_drain *drain) {
    struct gv_segment *s = drain->view.segment;
    struct gv_stat stat = {
        .written = drain->added,
        .dropped = atomic_load_explicit(&s->records_dropped, memory_order_relaxed),
        .skipped = atomic_load_explicit(&s->records_skipped, memory_order_relaxed),
        .definitions_dropped = atomic_load_explicit(&s->definitions_dropped, memory_order_relaxed),
        .touched_bytes = gv_touched_bytes(drain->view.fd),
    };
    for (uint32_t i = 0; i < drain->view.ring_count; i++) {
        const struct ring_state *state = &drain->rings[i];
        stat.written += state->position + (state->taken == state->position + 1);
        stat.lost += state->lost;
    }
    return stat;
}

uint64_t gv_drain_records(const struct gv_drain *drain) {
    return drain->records;
}

const struct gv_view *gv_drain_view(const struct gv_drain *drain) {
    return &drain->view;
}
