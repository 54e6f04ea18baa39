/* Writing executed nodes as the events of other tools' formats, in bulk: Chrome's JSON and Perfetto's protobuf.
 *
 * What is the same for all executions of a node comes from the caller, ready to be copied. */
#include <string.h>

#include "core/core.h"
#include "trace/varint.h"

/* Beyond a node's text, no event takes more. */
#define GV_EVENT_MAX 256u

static uint8_t *put_text(uint8_t *out, const char *text) {
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

static uint8_t *put_decimal(uint8_t *out, uint64_t value) {
    uint8_t digits[20];
    int count = 0;
    do {
        digits[count++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        *out++ = digits[--count];
    }
    return out;
}

/* ns as µs with three decimals. */
static uint8_t *put_us(uint8_t *out, uint64_t ns) {
    out = put_decimal(out, ns / 1000);
    unsigned rest = (unsigned)(ns % 1000);
    *out++ = '.';
    *out++ = (uint8_t)('0' + rest / 100);
    *out++ = (uint8_t)('0' + rest / 10 % 10);
    *out++ = (uint8_t)('0' + rest % 10);
    return out;
}

/* One node on one thread, as an event has it. */
struct event {
    uint64_t begin_ns, work_ns, inner_ns, wait_ns;
    uint32_t run, worker;
    const uint8_t *text;
    size_t text_length;
};

static uint8_t *chrome_event(const struct gv_events *style, const struct event *event, uint8_t *out) {
    out = put_text(out, "{\"ph\":\"X\",\"pid\":");
    out = put_decimal(out, style->process);
    out = put_text(out, ",\"tid\":");
    out = put_decimal(out, style->first_track + event->worker);
    out = put_text(out, ",\"ts\":");
    out = put_us(out, event->begin_ns);
    out = put_text(out, ",\"dur\":");
    out = put_us(out, event->work_ns + event->inner_ns);
    *out++ = ',';
    memcpy(out, event->text, event->text_length);
    out = put_text(out + event->text_length, ",\"run\":");
    out = put_decimal(out, event->run);
    out = put_text(out, ",\"inner_us\":");
    out = put_us(out, event->inner_ns);
    out = put_text(out, ",\"wait_us\":");
    out = put_us(out, event->wait_ns);
    return put_text(out, "}},\n");
}

/* --- protobuf: a field's key is its number and its wire type: 0 varint, 2 bytes of a length --- */

static uint8_t *put_field(uint8_t *out, unsigned number, uint64_t value) {
    return gv_varint_put(gv_varint_put(out, number << 3), value);
}

/* A length of less than 2^21 in three bytes, to be filled in when it is known. */
static void fill_length(uint8_t *at, size_t length) {
    at[0] = (uint8_t)(length | 0x80);
    at[1] = (uint8_t)(length >> 7 | 0x80);
    at[2] = (uint8_t)(length >> 14 & 0x7f);
}

/* A DebugAnnotation (field 4 of TrackEvent) of a name that was interned, with an unsigned value. */
static uint8_t *put_annotation(uint8_t *out, unsigned name, uint64_t value) {
    uint8_t body[24], *end = put_field(put_field(body, 1, name), 3, value);
    out = gv_varint_put(gv_varint_put(out, 4 << 3 | 2), (uint64_t)(end - body));
    memcpy(out, body, (size_t)(end - body));
    return out + (end - body);
}

static uint8_t *perfetto_packet(const struct gv_events *style, const struct event *event, bool begins, uint8_t *out) {
    enum { SLICE_BEGIN = 1, SLICE_END = 2, NEEDS_STATE = 2 };
    *out++ = 1 << 3 | 2; /* Trace.packet */
    uint8_t *length = out;
    out += 3;
    uint64_t end_ns = event->begin_ns + event->work_ns + event->inner_ns;
    out = put_field(out, 8, style->epoch_ns + (begins ? event->begin_ns : end_ns)); /* timestamp */
    out = put_field(out, 10, style->sequence);                                      /* trusted_packet_sequence_id */
    out = put_field(out, 13, NEEDS_STATE);                                          /* sequence_flags */
    *out++ = 11 << 3 | 2;                                                           /* track_event */
    uint8_t *inner_length = out;
    out += 3;
    out = put_field(out, 9, begins ? SLICE_BEGIN : SLICE_END);
    out = put_field(out, 11, style->first_track + event->worker); /* track_uuid */
    if (begins) {
        memcpy(out, event->text, event->text_length);
        out += event->text_length;
        out = put_annotation(out, GV_ANNOTATION_RUN, event->run);
        out = put_annotation(out, GV_ANNOTATION_INNER_NS, event->inner_ns);
        out = put_annotation(out, GV_ANNOTATION_WAIT_NS, event->wait_ns);
    }
    fill_length(inner_length, (size_t)(out - inner_length - 3));
    fill_length(length, (size_t)(out - length - 3));
    return out;
}

static uint64_t in_ns(uint64_t ticks, double ns_per_tick) {
    double ns = (double)ticks * ns_per_tick + 0.5;
    return ns < 9e15 ? (uint64_t)ns : (uint64_t)9e15;
}

int64_t gv_events_write(const struct gv_record *records, size_t count, const struct gv_run_nodes *runs,
                        size_t run_count, const struct gv_events *style, uint8_t *out, size_t capacity, size_t *next) {
    uint8_t *at = out;
    const struct gv_run_nodes *run = NULL;
    uint32_t number = 0;
    bool looked = false;
    size_t i = *next;
    for (; i < count; i++) {
        const struct gv_record *record = &records[i];
        if (record->kind != GV_KIND_NODE || record->detail >= style->workers) {
            continue;
        }
        if (!looked || record->run != number) {
            number = record->run;
            looked = true;
            run = gv_find_run(runs, run_count, number);
        }
        if (!run) {
            continue;
        }
        size_t place = record->node.node < run->nodes ? (size_t)run->first + record->node.node : 0;
        place = place < style->places ? place : 0;
        if (!style->chosen[place]) {
            continue;
        }
        double since = (double)(int64_t)(record->start - style->scale.origin_ticks) * style->scale.ns_per_tick;
        double begin_ns = since + style->scale.origin_ns;
        if (!(begin_ns >= 0 && begin_ns >= style->from_ns && begin_ns < style->until_ns && begin_ns < 9e15)) {
            continue;
        }
        unsigned shift = record->shift & 0x0f;
        struct event event = {
            .begin_ns = (uint64_t)begin_ns,
            .work_ns = in_ns((uint64_t)record->node.work << shift, style->scale.ns_per_tick),
            .inner_ns = in_ns((uint64_t)record->node.inner << shift, style->scale.ns_per_tick),
            .wait_ns = in_ns((uint64_t)record->node.wait << shift, style->scale.ns_per_tick),
            .run = record->run,
            .worker = record->detail,
            .text = style->text + style->text_ends[2 * place + ((record->shift >> 4) != 0)],
        };
        event.text_length =
            (size_t)(style->text_ends[2 * place + ((record->shift >> 4) != 0) + 1] - (event.text - style->text));
        if ((size_t)(out + capacity - at) < event.text_length + 2 * GV_EVENT_MAX) {
            break;
        }
        if (style->format == GV_EVENTS_CHROME) {
            at = chrome_event(style, &event, at);
        } else {
            at = perfetto_packet(style, &event, true, at);
            at = perfetto_packet(style, &event, false, at);
        }
    }
    *next = i;
    return at - out;
}
