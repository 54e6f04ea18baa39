/* What Python loads: decoding of trace chunks, folding of records into spans, and the recorder.
 *
 * Every function takes hostile input: lengths are checked, nothing is read or written outside what was
 * passed, and a malformed input is an error code, never undefined behaviour. */
#ifndef GV_CORE_H
#define GV_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/segment.h"
#include "trace/definitions.h"

#define GV_EXPORT __attribute__((visibility("default")))

#define GV_E_MALFORMED (-1)
#define GV_E_SPACE (-2)

/* Counts the records in the payload of a RECS chunk, or GV_E_MALFORMED. Reads only its head. */
GV_EXPORT int64_t gv_records_count(const uint8_t *payload, size_t length);

/* Decodes the payload of a RECS chunk into at most `capacity` records. Returns how many, or an error. */
GV_EXPORT int64_t gv_records_decode(const uint8_t *payload, size_t length, struct gv_record *out, size_t capacity);

/* Encodes records into a RECS payload (for writers of test traces). Returns its length, or an error. */
GV_EXPORT int64_t gv_records_encode(uint32_t ring, const struct gv_record *records, size_t count, uint8_t *out,
                                    size_t capacity);

/* The head of a GRAPH's body (after the 8-byte entry header). 0, or GV_E_MALFORMED. */
GV_EXPORT int gv_graph_head(const uint8_t *body, size_t length, struct gv_graph_head *out);

/* Decodes a GRAPH's tensors. Returns how many, or an error. */
GV_EXPORT int64_t gv_graph_decode(const uint8_t *body, size_t length, struct gv_tensor_row *out, size_t capacity);

/* Decodes a PLACEMENT: head[0] its number, head[1] its graph; for each tensor a buffer and an offset.
 * Returns the count of tensors, or an error. */
GV_EXPORT int64_t gv_placement_decode(const uint8_t *body, size_t length, uint32_t head[2], uint32_t *buffers,
                                      uint64_t *offsets, size_t capacity);

/* One executed node of one run, all threads together. Times in ticks. 64 bytes. */
struct gv_span {
    uint64_t begin;    /* the first thread's begin */
    uint64_t end;      /* the first thread to leave the closing barrier, which is when it opened */
    uint64_t work_end; /* the last thread's end of work */
    uint64_t work;     /* summed over threads */
    uint64_t inner;    /* summed over threads */
    uint64_t wait;     /* summed over threads */
    uint32_t run;
    uint32_t node;
    uint16_t threads;
    uint16_t fused; /* nodes computed together with this one, beyond itself */
    uint32_t reserved;
};

/* Folds the NODE records among `records` (of one process, any order) into spans, sorted by run, then node.
 * Records of the same run and node on different workers become one span. Returns the count of spans, or
 * GV_E_SPACE (then `capacity` = the count of NODE records suffices). Linear when the records of each ring
 * are in order. */
GV_EXPORT int64_t gv_fold_spans(const struct gv_record *records, size_t count, struct gv_span *out, size_t capacity);

/* --- adding up and laying out spans; every array is the caller's --- */

/* A run and the nodes of its graph. The nodes of all graphs of a process are numbered one behind the other, from 1:
 * that number is a node's place, and place 0 is that of nodes that no graph has. */
struct gv_run_nodes {
    uint32_t run; /* the array of them is sorted by it */
    uint32_t graph;
    uint32_t first; /* place of node 0 */
    uint32_t nodes;
    uint32_t phase;
    uint32_t reserved;
};

/* What the spans of one place add up to, in ticks. Each place has two: of the node alone, and fused with others. */
struct gv_node_total {
    uint64_t count, wall, work, inner, wait;
    uint32_t fused;   /* the most nodes that were computed together with it */
    uint32_t threads; /* the most that worked on it */
};

/* What one worker did, in ticks. */
struct gv_worker_total {
    uint64_t count, work, inner, wait;
};

/* From ticks to ns: (ticks - origin_ticks) * ns_per_tick + origin_ns. */
struct gv_time_scale {
    uint64_t origin_ticks;
    double origin_ns;
    double ns_per_tick;
};

/* Columns to fill; those that are NULL are not wanted. */
struct gv_span_columns {
    uint32_t *run, *graph, *node;
    uint16_t *op, *threads;
    uint8_t *phase, *fused;
    int64_t *begin_ns, *wall_ns, *work_ns, *inner_ns, *wait_ns;
};

/* Adds spans (sorted by run) to the totals of their places: totals[2 * place], or [2 * place + 1] if fused. Spans of
 * runs that are not listed are left out. `keys` and `walls` [count] get each span's index in totals and its wall time
 * in ticks. Returns how many spans were added. */
GV_EXPORT int64_t gv_totals_add(const struct gv_span *spans, size_t count, const struct gv_run_nodes *runs,
                                size_t run_count, struct gv_node_total *totals, size_t total_count, uint32_t *keys,
                                float *walls, uint8_t *seen);

/* Sorts wall times by key. On entry ends[key] is where those of a key begin in `out` [count], on return where they end.
 * GV_E_MALFORMED if the begins do not fit the keys. */
GV_EXPORT int64_t gv_totals_group(const uint32_t *keys, const float *walls, size_t count, uint64_t *ends,
                                  size_t key_count, float *out);

/* Adds the NODEs among records to totals[class of their place][worker], `rows` times `workers` of them. Returns how
 * many found no row or no worker. */
GV_EXPORT int64_t gv_workers_add(const struct gv_record *records, size_t count, const struct gv_run_nodes *runs,
                                 size_t run_count, const uint16_t *classes, size_t class_count,
                                 struct gv_worker_total *totals, size_t workers, size_t rows);

/* Lays spans (sorted by run) out in columns, from row `offset` on; `classes` say the op of each place. Spans of runs
 * that are not listed are left out. Returns how many rows were filled. */
GV_EXPORT int64_t gv_spans_columns(const struct gv_span *spans, size_t count, const struct gv_run_nodes *runs,
                                   size_t run_count, const struct gv_time_scale *scale, const uint16_t *classes,
                                   size_t class_count, const struct gv_span_columns *out, size_t offset);

/* --- executed nodes as other tools' events --- */

enum gv_events_format { GV_EVENTS_CHROME, GV_EVENTS_PERFETTO };

/* Interned names of annotations that this side writes. */
enum { GV_ANNOTATION_RUN = 1, GV_ANNOTATION_INNER_NS, GV_ANNOTATION_WAIT_NS };

/* How nodes become events. */
struct gv_events {
    uint32_t format; /* enum gv_events_format */
    uint32_t process;
    uint64_t first_track; /* of worker 0; those of the others follow */
    uint64_t sequence;    /* Perfetto: of packets */
    uint64_t epoch_ns;    /* Perfetto: added to times */
    /* For each place what its events say, alone and fused: text_ends[2 * place] to text_ends[2 * place + 1], and from
     * there to text_ends[2 * place + 2]. */
    const uint8_t *text;
    const uint64_t *text_ends;
    const uint8_t *chosen; /* which places are wanted */
    uint64_t places, workers;
    double from_ns, until_ns;
    struct gv_time_scale scale;
};

/* Writes the NODEs among records, from *next on, as events. Stops where no other event is sure to fit, and sets *next
 * to what it did not come to. Returns the bytes written. */
GV_EXPORT int64_t gv_events_write(const struct gv_record *records, size_t count, const struct gv_run_nodes *runs,
                                  size_t run_count, const struct gv_events *style, uint8_t *out, size_t capacity,
                                  size_t *next);

/* --- what a timeline shows of a worker's lane (lanes.c) --- */

struct gv_pyramid;

/* How much of each bucket of time each of `kinds` kinds of work took, at several widths: 2^shift ticks, four times
 * that, and so on, of each width the newest `buckets` (a power of two). NULL: memory is short, or the numbers make no
 * sense. */
GV_EXPORT struct gv_pyramid *gv_pyramid_open(uint64_t origin, uint64_t limit, uint32_t shift, uint64_t buckets,
                                             uint32_t levels, uint32_t kinds);
GV_EXPORT void gv_pyramid_close(struct gv_pyramid *pyramid);

/* Adds the NODEs among records to the pyramids of their workers. kinds[2 * place + fused] is the kind of each node's
 * work. Returns how many found no pyramid or no kind. */
GV_EXPORT int64_t gv_pyramids_add(struct gv_pyramid *const *pyramids, size_t workers, const struct gv_record *records,
                                  size_t count, const struct gv_run_nodes *runs, size_t run_count, const uint8_t *kinds,
                                  size_t key_count);

/* The share of each column of a range (in ticks since the origin) that each kind's work and waiting took, 255 for all
 * of it: out[columns][kinds][2]. Returns the shift of the buckets that it was read from. */
GV_EXPORT int64_t gv_pyramid_read(const struct gv_pyramid *pyramid, double from, double until, size_t columns,
                                  uint8_t *out);

/* Spans of a lane, as shares of the window's width: [count] each. `wait`, at barriers inside and at the end, is drawn
 * as the last part of `duration`. */
struct gv_lane_columns {
    float *begin, *duration, *wait;
    uint32_t *run, *node, *label;
};

/* The NODEs among records that a worker was at between `from` and `until`, in ticks. labels[2 * place + fused] is what
 * to call each. Returns how many, or GV_E_SPACE. */
GV_EXPORT int64_t gv_lane_spans(const struct gv_record *records, size_t count, uint32_t worker,
                                const struct gv_run_nodes *runs, size_t run_count, const uint32_t *labels,
                                size_t key_count, double from, double until, const struct gv_lane_columns *out,
                                size_t capacity);

/* The run of a number, NULL if it is not listed. Not exported. */
const struct gv_run_nodes *gv_find_run(const struct gv_run_nodes *runs, size_t count, uint32_t number);

/* --- the recorder: drains the segments of one run of `ggml-viz run` into a trace file --- */

struct gv_recorder;

/* What a recorder has seen so far. */
struct gv_recorder_status {
    uint64_t processes; /* segments found */
    uint64_t alive;     /* of these, whose process still lives */
    uint64_t records;   /* written to the trace */
    uint64_t lost;      /* overwritten before they were read */
    uint64_t bytes;     /* size of the trace */
    int32_t error;      /* errno of the first failed write; 0: none. The trace then ends at its last whole chunk */
    uint32_t refused;   /* a process that records one of the segments already, which therefore is not; 0: none */
};

/* How a recorder is to work. */
struct gv_recorder_options {
    uint64_t max_bytes; /* of the file, which then keeps the newest records (trace/circular.c); 0: no limit */
    /* enum gv_since: GV_SINCE_NOW for what has been there for a while, to record it from now on. A viewer, which only
     * looks beside whoever records, says GV_SINCE_OLDEST: it claims no segment, wakes no agent and stops none. */
    uint32_t since;
    uint32_t reserved;
    const char *machine; /* for the MACH chunk; NULL: there is none */
};

/* Creates the trace at `path` (truncating it) for the segments in `folder` whose names are `token`, or start with
 * `token` and a dot. Returns NULL and sets *error to an errno. */
GV_EXPORT struct gv_recorder *gv_recorder_open(const char *folder, const char *token, const char *path,
                                               const struct gv_recorder_options *options, int *error);

/* Drains until `process` (a pidfd, on Windows a handle; -1: none) has ended or `timeout_ms` have passed, pacing itself
 * by how full the rings are. */
GV_EXPORT void gv_recorder_drain(struct gv_recorder *recorder, intptr_t process, int timeout_ms,
                                 struct gv_recorder_status *status);

/* Takes the oldest message of an agent that has not been taken yet: who[0] its process, who[1] its level (enum
 * gv_note). Returns the length of the text in `out`, which is cut at `capacity`, or -1 if there is none. Messages that
 * nobody takes are dropped when there are many. */
GV_EXPORT int64_t gv_recorder_message(struct gv_recorder *recorder, uint32_t who[2], char *out, size_t capacity);

/* A run in progress. */
struct gv_now_run {
    uint32_t run, graph, placement;
    uint32_t phase; /* enum gv_phase; GV_PHASE_COUNT: its graph is not known yet */
    uint64_t start; /* ticks */
};

/* What a worker does in a run in progress. */
struct gv_now_worker {
    uint32_t run, node, worker;
    uint32_t waiting; /* 1: at a barrier */
    uint64_t since;   /* ticks: when it began the node, or came to the barrier */
};

#define GV_NOW_WORKERS 128

/* This instant, as far as several threads have one. */
struct gv_now {
    uint64_t ticks;
    uint32_t control;
    uint32_t recorder; /* living process that records it; 0: none does */
    uint32_t run_count, worker_count;
    struct gv_now_run runs[GV_ACTIVE_RUNS];
    struct gv_now_worker workers[GV_NOW_WORKERS];
};

/* What the first process of a recorder that still lives does this instant. Returns 0, or -ESRCH: there is none. */
GV_EXPORT int gv_recorder_now(const struct gv_recorder *recorder, struct gv_now *now);

struct gv_view;

/* The same, of a segment. Not exported. */
void gv_view_now(const struct gv_view *view, struct gv_now *now);

/* Drains what is left, ends every process, closes the trace and frees the recorder. The segments of processes that
 * are gone are removed; those alive are told to stop recording and keep theirs for a later recording. */
GV_EXPORT void gv_recorder_close(struct gv_recorder *recorder, struct gv_recorder_status *status);

/* Gives back the room of `count` parts of a trace that is still being written: offset and length of each. Returns 0 or
 * a negative errno. */
GV_EXPORT int gv_file_let_go(int fd, const uint64_t (*parts)[2], size_t count);

/* --- looking at segments, and steering agents --- */

/* What a segment says of its process, at one glance. */
struct gv_segment_state {
    uint64_t start_wall_ns;
    uint64_t records; /* ever published, by all rings */
    uint64_t dropped, skipped, definitions_dropped;
    uint64_t touched_bytes;
    uint32_t pid;
    uint32_t alive;                  /* 1: that process lives */
    uint32_t control;                /* enum gv_detail | GV_CONTROL_… */
    uint32_t recorder;               /* living process that records it; 0: none does */
    uint32_t phase;                  /* enum gv_phase of the run in progress; GV_PHASE_COUNT: there is none */
    uint32_t runs[GV_PHASE_COUNT];   /* that ended in the last whole second, by phase */
    uint32_t tokens[GV_PHASE_COUNT]; /* that went through the model in these */
    uint32_t reserved;
};

/* Describes the segment at `path`. Returns 0 or a negative errno. */
GV_EXPORT int gv_segment_describe(const char *path, struct gv_segment_state *out);

/* Copies the definitions of its log but for graphs and placements, the bulky ones, as far as there is room. Returns
 * their length, or a negative errno. */
GV_EXPORT int64_t gv_segment_definitions(const char *path, uint8_t *out, size_t capacity);

/* Clears and sets bits of its control word in one step. words[0] and words[1]: before, and after. Returns 0 or a
 * negative errno. */
GV_EXPORT int gv_segment_control(const char *path, uint32_t clear, uint32_t set, uint32_t words[2]);

/* Removes segments in `folder` that neither a process nor a recorder holds. Returns how many. */
GV_EXPORT int gv_segments_sweep(const char *folder);

/* The folder of segments for this user, made if missing (0700). Returns its length, or a negative errno. */
GV_EXPORT int gv_segments_folder(char *out, size_t capacity);

/* Measures what the machine does at most with so many threads, the best of some rounds that take `round_ns` each:
 * out[0] and out[1] bytes a second of a triad and of reading, over arrays that take `memory_bytes` together; out[2] and
 * out[3] operations a second on floats and on 8-bit integers (0: the CPU has no instruction for products of these).
 * Returns 0 or a negative errno. */
GV_EXPORT int gv_measure_peaks(uint32_t threads, uint64_t memory_bytes, uint32_t rounds, uint64_t round_ns,
                               double out[4]);

/* This machine's clock now: out[0] ticks, out[1] monotonic ns, out[2] wall ns. Returns enum gv_clock_kind. */
GV_EXPORT int gv_clock_now(uint64_t out[3]);

#endif
