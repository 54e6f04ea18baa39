/* Draining a segment into a file: definitions first, every record once, and each loss counted. */
#include "trace/drain.h"
#include "platform/clock.h"
#include "support.h"

#define RECORDS 64 /* of a ring */

static char segment_path[] = "drain.segment", trace_path[] = "drain.ggmlviz";

struct drained {
    struct gv_view view; /* the writer's */
    struct gv_writer writer;
    struct gv_drain *drain;
};

static void begin(struct drained *d) {
    d->view = make_segment(segment_path, 2, RECORDS, 1);
    struct gv_view view;
    CHECK_EQUAL(gv_view_open(&view, segment_path, true), 0);
    CHECK_EQUAL(gv_writer_create(&d->writer, trace_path), 0);
    d->drain = gv_drain_open(&view, &d->writer, 5, GV_SINCE_START);
    CHECK(d->drain);
}

static struct trace end(struct drained *d, enum gv_done reason, struct gv_stat *stat) {
    gv_drain_close(d->drain, reason, stat);
    gv_writer_close(&d->writer);
    gv_view_close(&d->view);
    unlink(segment_path);
    return trace_read(trace_path);
}

static struct gv_record node(uint32_t run, uint32_t index, uint16_t worker) {
    return (struct gv_record){
        .start = 1000 * run + 10 * index, .run = run, .detail = worker, .node = {.node = index, .work = 10}};
}

static void put_run(const struct drained *d, uint32_t run) {
    struct gv_record record = {.start = 1000 * run, .kind = GV_KIND_RUN, .run = run, .graph_run = {.duration = 900}};
    put(&d->view, 0, &record);
}

static uint32_t reason_of(const struct trace *trace) {
    uint32_t reason = 0;
    trace_last(trace, GV_CHUNK_DONE, &reason, sizeof reason);
    return reason;
}

static void definitions_before_records(void) {
    struct drained d;
    begin(&d);
    define(&d.view, GV_DEF_PROCESS, "process");
    gv_drain_step(d.drain);
    for (uint32_t i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        define(&d.view, GV_DEF_NAME, name);
        struct gv_record record = node(1, i, 0);
        put(&d.view, i % 2, &record);
        if (i % 7 == 0) {
            gv_drain_step(d.drain);
        }
    }
    struct gv_stat stat;
    struct trace trace = end(&d, GV_DONE_ENDED, &stat);
    CHECK(stat.written == 20 && stat.lost == 0);

    struct gv_chunk_header header, last = {0};
    const uint8_t *payload;
    uint32_t names = 0;
    bool first = true;
    for (size_t at = 0; trace_next(&trace, &at, &header, &payload); last = header) {
        CHECK_EQUAL(header.process, 5);
        CHECK(!first || header.kind == GV_CHUNK_DEFS);
        first = false;
        if (header.kind == GV_CHUNK_DEFS) {
            for (uint32_t k = 0; k < header.length;) {
                struct gv_definition_header definition;
                memcpy(&definition, payload + k, sizeof definition);
                names += definition.kind == GV_DEF_NAME;
                k += definition.length;
                CHECK(k <= header.length);
            }
        } else if (header.kind == GV_CHUNK_RECS) {
            struct gv_record records[20];
            int64_t count = gv_payload_decode(payload, header.length, records, 20);
            CHECK(count > 0);
            CHECK(records[count - 1].node.node < names);
        }
    }
    CHECK_EQUAL(last.kind, GV_CHUNK_DONE);
    CHECK_EQUAL(names, 20);
    CHECK_EQUAL(reason_of(&trace), GV_DONE_ENDED);
    struct gv_stat in_file;
    trace_last(&trace, GV_CHUNK_STAT, &in_file, sizeof in_file);
    CHECK(memcmp(&in_file, &stat, sizeof stat) == 0);
    free(trace.data);
}

static void loss(void) {
    struct drained d;
    begin(&d);
    gv_drain_step(d.drain);
    for (uint32_t i = 0; i < 1000; i++) {
        struct gv_record record = node(1, i, 0);
        put(&d.view, 1, &record);
    }
    CHECK_EQUAL(gv_drain_step(d.drain), 100);
    atomic_store(&d.view.segment->records_dropped, 3);
    atomic_store(&d.view.segment->records_skipped, 4);
    atomic_store(&d.view.segment->definitions_dropped, 5);
    struct gv_stat stat;
    struct trace trace = end(&d, GV_DONE_DETACHED, &stat);
    size_t count;
    struct gv_record *records = trace_records(&trace, &count);
    CHECK_EQUAL(count, RECORDS - 1);
    CHECK_EQUAL(records[0].node.node, 1000 - (RECORDS - 1));
    CHECK(stat.written == 1000 && stat.lost == 1000 - count);
    CHECK(stat.dropped == 3 && stat.skipped == 4 && stat.definitions_dropped == 5 && stat.touched_bytes > 0);
    CHECK_EQUAL(reason_of(&trace), GV_DONE_DETACHED);
    free(records);
    free(trace.data);
}

/* The node that a worker finished last waits in its ring's header, and is taken from there when its run is over. */
static void set_current(const struct drained *d, uint32_t ring, const struct gv_record *record) {
    struct gv_ring *r = &d->view.rings[ring];
    atomic_store(&r->current.run, record->run);
    atomic_store(&r->current.worker_fused, record->detail);
    atomic_store(&r->current.start, record->start);
    atomic_store(&r->current.barrier_in, record->start + record->node.work);
    atomic_store(&r->current.barrier_out, record->start + record->node.work);
    atomic_store(&r->current.node, record->node.node);
    atomic_store(&r->current.record, (uint32_t)atomic_load(&r->head));
}

static void last_node(int published, int flood, enum gv_done reason) {
    struct drained d;
    begin(&d);
    struct gv_record before = node(1, 0, 1), last = node(1, 1, 1);
    put(&d.view, 1, &before);
    set_current(&d, 1, &last);
    gv_drain_step(d.drain);
    CHECK_EQUAL(gv_drain_records(d.drain), 1); /* its run is not over */
    put_run(&d, 1);
    gv_drain_step(d.drain);
    CHECK_EQUAL(gv_drain_records(d.drain), 2); /* the worker may be about to do something */
    uint64_t expected = 3, written = 3;
    if (published) {
        gv_drain_step(d.drain);
        CHECK_EQUAL(gv_drain_records(d.drain), 3);
        CHECK_EQUAL(gv_drain_stat(d.drain).written, 3);
        gv_drain_step(d.drain);
        gv_drain_step(d.drain);
        CHECK_EQUAL(gv_drain_records(d.drain), 3);
    }
    if (published > 1) { /* its owner goes on, and publishes it */
        put(&d.view, 1, &last);
        for (int i = 0; i < flood; i++) {
            struct gv_record record = node(2, (uint32_t)i, 1);
            put(&d.view, 1, &record);
        }
        atomic_store(&d.view.rings[1].current.node, GV_NO_NODE);
        written += (uint64_t)flood;
        expected += (uint64_t)(flood < RECORDS ? flood : RECORDS - 1);
    }
    struct gv_stat stat;
    struct trace trace = end(&d, reason, &stat);
    size_t count;
    struct gv_record *records = trace_records(&trace, &count);
    CHECK_EQUAL(count, expected);
    CHECK_EQUAL(stat.written, written);
    CHECK_EQUAL(stat.lost, written - expected);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += memcmp(&records[i], &last, sizeof last) == 0;
    }
    CHECK_EQUAL(found, 1);
    free(records);
    free(trace.data);
}

/* A worker that is interrupted between putting a node and beginning the next: the old one still stands in the header.
 */
static void put_but_standing(void) {
    struct drained d;
    begin(&d);
    struct gv_record last = node(1, 1, 1);
    set_current(&d, 1, &last);
    put(&d.view, 1, &last);
    put_run(&d, 1);
    for (int i = 0; i < 3; i++) {
        gv_drain_step(d.drain);
        CHECK_EQUAL(gv_drain_records(d.drain), 2);
    }
    struct gv_stat stat;
    free(end(&d, GV_DONE_ENDED, &stat).data);
    CHECK_EQUAL(stat.written, 2);
}

/* The process died while it computed: that much is known of the run. */
static void unfinished_run(void) {
    struct drained d;
    begin(&d);
    struct gv_active_run *active = &d.view.segment->active[3];
    atomic_store(&active->start, 7000);
    atomic_store(&active->graph, 2);
    atomic_store(&active->placement, 1);
    atomic_store(&active->run, 7);
    struct gv_record record = node(7, 5, 0);
    put(&d.view, 0, &record);
    struct gv_stat stat;
    struct trace trace = end(&d, GV_DONE_ENDED, &stat);
    size_t count;
    struct gv_record *records = trace_records(&trace, &count);
    CHECK_EQUAL(count, 2);
    const struct gv_record *run = &records[1];
    CHECK(run->kind == GV_KIND_RUN && run->run == 7 && run->detail == GV_STATUS_UNFINISHED && run->start == 7000);
    CHECK(run->graph_run.graph == 2 && run->graph_run.placement == 1 && run->graph_run.duration == 60);
    CHECK_EQUAL(reason_of(&trace), GV_DONE_ABNORMAL);
    free(records);
    free(trace.data);
}

/* A log that its program has overwritten by accident: what came before is kept, and nothing is read outside it. */
static void spoiled_log(void) {
    const uint32_t lengths[] = {0, 4, 12, 1u << 20, UINT32_MAX, UINT32_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct drained d;
        begin(&d);
        define(&d.view, GV_DEF_NAME, "good");
        gv_drain_step(d.drain);
        uint64_t at = atomic_load(&d.view.segment->log_tail);
        define(&d.view, GV_DEF_NAME, "spoiled");
        memcpy((uint8_t *)d.view.log + at, &lengths[i], sizeof lengths[i]);
        gv_drain_step(d.drain);
        atomic_store(&d.view.segment->log_tail, i % 2 ? UINT64_MAX : GV_PAGE + 8);
        gv_drain_step(d.drain);
        struct gv_record record = node(1, 1, 1);
        put(&d.view, 0, &record);
        struct gv_stat stat;
        struct trace trace = end(&d, GV_DONE_ENDED, &stat);
        CHECK_EQUAL(stat.written, 1);
        struct gv_chunk_header header;
        const uint8_t *payload;
        size_t definitions = 0;
        for (size_t k = 0; trace_next(&trace, &k, &header, &payload);) {
            definitions += header.kind == GV_CHUNK_DEFS ? header.length : 0;
        }
        CHECK_EQUAL(definitions, 16);
        free(trace.data);
    }
}

/* A recording that begins in the middle of a run, and after the last nodes of another, has neither. */
static void late(void) {
    struct drained d = {.view = make_segment(segment_path, 2, RECORDS, 1)};
    struct gv_view view;
    CHECK_EQUAL(gv_view_open(&view, segment_path, true), 0);
    CHECK_EQUAL(gv_writer_create(&d.writer, trace_path), 0);
    define(&d.view, GV_DEF_PROCESS, "process");
    for (uint32_t i = 0; i < 1000; i++) { /* far more than a ring holds */
        struct gv_record record = node(1, i, 0);
        put(&d.view, 0, &record);
    }
    struct gv_record last = node(2, 7, 1);
    set_current(&d, 1, &last);
    atomic_store(&d.view.segment->active[0].run, 3);
    atomic_store(&d.view.segment->records_dropped, 5);
    d.drain = gv_drain_open(&view, &d.writer, 5, GV_SINCE_NOW);
    put(&d.view, 1, &last);
    put_run(&d, 3);
    atomic_store(&d.view.segment->active[0].run, 0);
    for (uint32_t run = 4; run < 6; run++) {
        for (uint32_t i = 0; i < 10; i++) {
            struct gv_record record = node(run, i, 0);
            put(&d.view, 0, &record);
        }
        put_run(&d, run);
    }
    struct gv_record copy = {.kind = GV_KIND_COPY};
    put(&d.view, 0, &copy);
    atomic_store(&d.view.segment->records_dropped, 6);
    struct gv_stat stat;
    struct trace trace = end(&d, GV_DONE_DETACHED, &stat);
    size_t count;
    struct gv_record *records = trace_records(&trace, &count);
    CHECK_EQUAL(count, 23);
    for (size_t i = 0; i < count; i++) {
        CHECK(records[i].kind == GV_KIND_COPY || records[i].run > 3);
    }
    CHECK(stat.written == 23 && stat.lost == 0 && stat.dropped == 1);
    free(records);
    free(trace.data);
}

int main(void) {
    definitions_before_records();
    loss();
    last_node(0, 0, GV_DONE_ENDED);
    last_node(1, 0, GV_DONE_ENDED);
    last_node(1, 0, GV_DONE_DETACHED);
    last_node(2, 0, GV_DONE_ENDED);
    last_node(2, 10, GV_DONE_ENDED);
    last_node(2, 10 * RECORDS, GV_DONE_ENDED); /* overwritten before it was read, but taken before */
    put_but_standing();
    unfinished_run();
    spoiled_log();
    late();
}
