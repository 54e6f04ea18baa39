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
/* Where chunks take the place of others, small ones fit better. */
#define CIRCULAR_BATCH 1024u
#define CIRCULAR_DEFS_BATCH (1u << 16)
#define ENDED_RUNS 1024u
#define META_INTERVAL_NS 1000000000u

struct ring_state {
    uint64_t position; /* of the next record to read */
    uint64_t begin;    /* where reading began */
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
    bool late;
    uint32_t last_old_run; /* runs up to this one began before what is wanted */
    uint64_t left_out;     /* records of those runs */
    struct gv_stat before; /* what had been counted before */
    uint64_t news;         /* where in the log the notes begin that nobody was told of */
    gv_drain_note note;
    void *note_context;
    struct {
        uint32_t run;
        uint64_t end;
    } ended[ENDED_RUNS];
    struct gv_record batch[BATCH];
    uint8_t payload[GV_RECORDS_HEAD_MAX + BATCH * GV_RECORD_ENCODED_MAX];
    struct ring_state rings[];
};

/* Numbers of runs rise, and may wrap around. */
static void note_old_run(struct gv_drain *drain, uint32_t run) {
    if (run && (!drain->last_old_run || (int32_t)(run - drain->last_old_run) > 0)) {
        drain->last_old_run = run;
    }
}

static void note_active_runs(struct gv_drain *drain) {
    for (uint32_t i = 0; i < GV_ACTIVE_RUNS; i++) {
        note_old_run(drain, atomic_load_explicit(&drain->view.segment->active[i].run, memory_order_acquire));
    }
}

/* A run has records before the heads that are read here only if it is active before, or active or some thread's last
 * one after; so no run is kept of which something is missing. */
static void begin_late(struct gv_drain *drain) {
    const struct gv_view *view = &drain->view;
    note_active_runs(drain);
    for (uint32_t i = 0; i < view->ring_count; i++) {
        uint64_t head = atomic_load_explicit(&view->rings[i].head, memory_order_acquire);
        drain->rings[i].position = drain->rings[i].begin = head;
    }
    note_active_runs(drain);
    for (uint32_t i = 0; i < view->ring_count; i++) {
        if (atomic_load_explicit(&view->rings[i].current.node, memory_order_acquire) != GV_NO_NODE) {
            note_old_run(drain, atomic_load_explicit(&view->rings[i].current.run, memory_order_relaxed));
        }
    }
    drain->before = gv_drain_stat(drain);
    drain->news = atomic_load_explicit(&view->segment->log_tail, memory_order_acquire);
    drain->late = true;
}

/* Runs that began before the first record that a ring still has may have had others there. */
static void begin_oldest(struct gv_drain *drain) {
    const struct gv_view *view = &drain->view;
    for (uint32_t i = 0; i < view->ring_count; i++) {
        uint64_t oldest = gv_view_oldest(view, i), position = oldest, lost = 0;
        drain->rings[i].position = drain->rings[i].begin = oldest;
        struct gv_record first;
        if (oldest && gv_view_copy(view, i, &position, oldest + 1, &first, 1, &lost)) {
            note_old_run(drain, first.run);
        }
    }
    drain->before = gv_drain_stat(drain);
}

struct gv_drain *gv_drain_open(const struct gv_view *view, struct gv_writer *writer, uint32_t process,
                               enum gv_since since) {
    struct gv_drain *drain = calloc(1, sizeof *drain + view->ring_count * sizeof(struct ring_state));
    if (drain) {
        drain->view = *view;
        drain->writer = writer;
        drain->process = process;
        if (since == GV_SINCE_NOW) {
            begin_late(drain);
        } else if (since == GV_SINCE_OLDEST) {
            begin_oldest(drain);
        }
    }
    return drain;
}

void gv_drain_on_note(struct gv_drain *drain, gv_drain_note note, void *context) {
    drain->note = note;
    drain->note_context = context;
}

/* Tells of the NOTE whose body (as copied from the log) is `length` bytes long, if it is sound. */
static void tell_note(const struct gv_drain *drain, const uint8_t *body, size_t length) {
    const uint8_t *at = body, *end = body + length;
    uint64_t level, text_length;
    if (gv_varint_get(&at, end, &level) && gv_varint_get(&at, end, &text_length) && level <= GV_NOTE_DISTORTING &&
        text_length <= (size_t)(end - at)) {
        drain->note(drain->note_context, drain->view.segment->pid, (uint32_t)level, (const char *)at,
                    (size_t)text_length);
    }
}

static void write_chunk(struct gv_drain *drain, uint32_t kind, const void *payload, size_t length) {
    gv_writer_chunk(drain->writer, kind, drain->process, payload, length);
}

static void write_definitions(struct gv_drain *drain) {
    uint64_t tail = atomic_load_explicit(&drain->view.segment->log_tail, memory_order_acquire);
    if (tail > drain->view.log_capacity) {
        return;
    }
    uint64_t batch = drain->writer->circular ? CIRCULAR_DEFS_BATCH : DEFS_BATCH;
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
            if (length && length + header.length > batch) {
                break;
            }
            if (header.kind == GV_DEF_NOTE && drain->note && drain->log_position + length >= drain->news &&
                header.padding <= 7 && header.length >= sizeof header + header.padding) {
                tell_note(drain, at + length + sizeof header, header.length - sizeof header - header.padding);
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

/* Whether a record belongs to a run that began before what is wanted. */
static bool is_old(const struct gv_drain *drain, const struct gv_record *record) {
    return drain->last_old_run && record->run && (int32_t)(record->run - drain->last_old_run) <= 0;
}

static size_t without_old(struct gv_drain *drain, struct gv_record *records, size_t count) {
    if (!drain->last_old_run) {
        return count;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_old(drain, &records[i])) {
            records[kept++] = records[i];
        }
    }
    drain->left_out += count - kept;
    return kept;
}

static void write_records(struct gv_drain *drain, uint32_t ring, const struct gv_record *records, size_t count) {
    if (!count) {
        return;
    }
    struct gv_records_state state = {0};
    uint64_t latest = 0;
    uint8_t *out = gv_varint_put(drain->payload, ring);
    out = gv_varint_put(out, count);
    for (size_t i = 0; i < count; i++) {
        out = gv_record_encode(&state, &records[i], out);
        note_run(drain, &records[i]);
        uint64_t end = records[i].kind == GV_KIND_RUN ? drain->ended[records[i].run % ENDED_RUNS].end : state.end;
        latest = end > latest ? end : latest;
    }
    if (state.end > drain->latest) {
        drain->latest = state.end;
    }
    gv_writer_records(drain->writer, drain->process, latest, drain->payload, (size_t)(out - drain->payload));
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
    size_t batch = drain->writer->circular ? CIRCULAR_BATCH : BATCH;
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
                gv_view_copy(&drain->view, i, &state->position, state->head, drain->batch, batch, &state->lost);
            got = without_taken(state, drain->batch, got, state->position);
            got = without_old(drain, drain->batch, got);
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
        if (!drain->late) { /* a process's first CLOK is where its recording began */
            write_chunk(drain, GV_CHUNK_CLOK, start, sizeof start);
        }
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
        uint32_t graph = atomic_load_explicit(&active->graph, memory_order_acquire);
        uint32_t placement = atomic_load_explicit(&active->placement, memory_order_acquire);
        uint64_t duration = drain->latest > start ? drain->latest - start : 0;
        struct gv_record record = {
            .start = start,
            .kind = GV_KIND_RUN,
            .shift = gv_duration_shift(duration),
            .detail = GV_STATUS_UNFINISHED,
            .run = run,
            .graph_run = {.graph = graph,
                          .placement = placement,
                          .duration = gv_duration(duration, gv_duration_shift(duration))},
        };
        if (is_old(drain, &record)) {
            continue;
        }
        write_definitions(drain); /* where the process goes on, the graph may have become known just now */
        write_records(drain, 0, &record, 1);
        drain->added++;
    }
    return any;
}

uint64_t gv_drain_finish(struct gv_drain *drain, enum gv_done reason, struct gv_stat *stat) {
    gv_drain_step(drain);
    take_last_nodes(drain, true);
    if (write_unfinished_runs(drain) && reason == GV_DONE_ENDED) {
        reason = GV_DONE_ABNORMAL;
    }
    write_meta(drain);
    uint32_t word = reason;
    write_chunk(drain, GV_CHUNK_DONE, &word, sizeof word);
    *stat = gv_drain_stat(drain);
    return drain->records;
}

uint64_t gv_drain_close(struct gv_drain *drain, enum gv_done reason, struct gv_stat *stat) {
    uint64_t records = gv_drain_finish(drain, reason, stat);
    gv_drain_abandon(drain);
    return records;
}

void gv_drain_abandon(struct gv_drain *drain) {
    gv_view_close(&drain->view);
    free(drain);
}

struct gv_stat gv_drain_stat(const struct gv_drain *drain) {
    struct gv_segment *s = drain->view.segment;
    const struct gv_stat *before = &drain->before;
    struct gv_stat stat = {
        .written = drain->added - drain->left_out,
        .dropped = atomic_load_explicit(&s->records_dropped, memory_order_relaxed) - before->dropped,
        .skipped = atomic_load_explicit(&s->records_skipped, memory_order_relaxed) - before->skipped,
        .definitions_dropped =
            atomic_load_explicit(&s->definitions_dropped, memory_order_relaxed) - before->definitions_dropped,
        .touched_bytes = gv_touched_bytes(drain->view.fd),
    };
    for (uint32_t i = 0; i < drain->view.ring_count; i++) {
        const struct ring_state *state = &drain->rings[i];
        stat.written += state->position - state->begin + (state->taken == state->position + 1);
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
