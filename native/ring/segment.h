/* The shared-memory segment: the one layout that the agent writes and every reader maps.
 *
 * A segment is a regular file, owned by one watched process. It holds, in this order: a header, the
 * headers of the rings, the definition log, and the rings' records. Everything is little-endian and
 * naturally aligned. See docs/architecture.md for the protocol and docs/trace-format.md for what the
 * definitions and records mean.
 *
 * Memory order. Every word that two processes share and that changes is a C11 atomic. The writer publishes with release
 * stores (`head`, `log_tail`, `ready`, `node`, `record`, `run`), a reader observes with acquire loads, copies, fences,
 * and checks that what it copied had not been overtaken. Nothing here relies on a strongly ordered CPU:
 *   - what is written once (the header up to `log_tail`, and a definition) is published by one word: `ready`,
 * `log_tail`;
 *   - what is written again and again (a ring's slots, `current`) is checked after it was copied: ring.h, reader.c;
 *   - words that stand alone (counters, `control`) are relaxed, unless something else is to be seen with them: who
 * clears GV_CONTROL_STOPPED releases the `recording` that he raised before, and whoever raised that, the settings he
 * left.
 */
#ifndef GV_SEGMENT_H
#define GV_SEGMENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define GV_SEGMENT_MAGIC "GGMLVIZS" /* 8 bytes, no terminator */
#define GV_SEGMENT_VERSION 5u
#define GV_PAGE 4096u
#define GV_ACTIVE_RUNS 16u
#define GV_SECONDS 4u
#define GV_NO_NODE UINT32_MAX
#define GV_MAX_RINGS 4096u
#define GV_MAX_RING_RECORDS (1u << 20)

/* What a record describes. */
enum gv_kind {
    GV_KIND_NODE = 0,  /* one executed node (or fused pair) on one thread */
    GV_KIND_RUN = 1,   /* one graph run, the outermost compute call */
    GV_KIND_SPLIT = 2, /* a contiguous part of a run's nodes, computed by one backend */
    GV_KIND_COPY = 3,  /* bytes moved into, out of or between tensors */
};

/* `detail`: how much is recorded. Each level includes those below it. */
enum gv_detail {
    GV_DETAIL_GRAPH = 0,  /* runs, splits, copies, memory */
    GV_DETAIL_OP = 1,     /* and every node, as worker 0 saw it */
    GV_DETAIL_THREAD = 2, /* and every node on every thread */
};

/* `control`: the only word that travels from a viewer to the agent. */
#define GV_CONTROL_DETAIL_MASK 0x3u
#define GV_CONTROL_PAUSED 0x4u
#define GV_CONTROL_STOPPED 0x8u

enum gv_clock_kind {
    GV_CLOCK_MONOTONIC = 0, /* ticks are nanoseconds of CLOCK_MONOTONIC */
    GV_CLOCK_COUNTER = 1,   /* ticks of the CPU's invariant counter */
};

/* What a language model does in a run (docs/architecture.md, "Phases"); the same names as in Python's phases.py. */
enum gv_phase { GV_PHASE_PREFILL = 0, GV_PHASE_DECODE = 1, GV_PHASE_MIXED = 2, GV_PHASE_OTHER = 3, GV_PHASE_COUNT = 4 };

/* How bytes moved, in gv_record.detail of a COPY. */
enum gv_copy_kind {
    GV_COPY_SET = 0,    /* application memory to tensor */
    GV_COPY_GET = 1,    /* tensor to application memory */
    GV_COPY_TENSOR = 2, /* tensor to tensor */
    GV_COPY_FILL = 3,   /* memset */
    GV_COPY_ASYNC = 8,  /* flag: the call only submitted the copy; its duration is that of the call */
};

/* A finished span: 32 bytes, immutable once published. Durations are in ticks, shifted right by `shift`
 * bits where they would not fit (a span of over 1.4 s at 3 GHz). */
struct gv_record {
    uint64_t start;  /* ticks */
    uint8_t kind;    /* enum gv_kind */
    uint8_t shift;   /* low 4 bits: durations are stored >> shift; high 4 bits (NODE): nodes fused after `node` */
    uint16_t detail; /* NODE: worker index; RUN, SPLIT: ggml status; COPY: enum gv_copy_kind */
    uint32_t run;    /* the run it belongs to, numbered from 1 in each process; 0: none */
    union {
        struct {
            uint32_t node;  /* index in the run's graph */
            uint32_t work;  /* computing */
            uint32_t inner; /* waiting at barriers inside the node */
            uint32_t wait;  /* waiting at the node's closing barrier */
        } node;
        struct {
            uint32_t graph;     /* GRAPH definition; 0: it could not be read */
            uint32_t placement; /* PLACEMENT definition; 0: unknown */
            uint32_t duration;
            uint16_t splits;  /* calls into backends */
            uint16_t threads; /* the most CPU threads that a split of it used; 0: none seen */
        } graph_run;
        struct {
            uint32_t first; /* index of its first node in the run's graph */
            uint32_t count; /* nodes listed, executed or not */
            uint32_t duration;
            uint16_t backend; /* BACKEND definition; 0: none known */
            uint16_t threads; /* CPU threads; 0: not seen */
        } split;
        struct {
            uint64_t bytes;
            uint32_t duration;
            uint16_t from; /* PLACE definition; 0: application memory */
            uint16_t to;
        } copy;
    };
};
_Static_assert(sizeof(struct gv_record) == 32, "a record is 32 bytes");

/* One thread's ring. `head` counts the records ever published; record i lies in slot i % capacity.
 *
 * `current` is the node that the thread works on or has just finished: it becomes record number `head` at
 * the thread's next begin, because only then is it known which barrier closed it. A reader may take it
 * earlier once the run has ended (docs/architecture.md, "The last node"). Between the two, `head` has moved on and the
 * old node still stands here: so it says itself which record it is to become. */
struct gv_ring {
    _Atomic uint64_t head;
    _Atomic uint32_t owner;    /* OS thread id; 0: free to claim */
    _Atomic uint32_t prepared; /* 1: its memory is committed */
    struct {
        _Atomic uint32_t node; /* GV_NO_NODE: nothing; published after what follows, but before `record` */
        _Atomic uint32_t run;
        _Atomic uint32_t worker_fused; /* worker | fused << 16 */
        _Atomic uint32_t record;       /* low half of the number of the record to be; published last */
        _Atomic uint64_t start;
        _Atomic uint64_t inner;
        _Atomic uint64_t barrier_in;  /* the last barrier: entered; 0: none yet */
        _Atomic uint64_t barrier_out; /* left; below barrier_in: still inside */
    } current;
    _Atomic uint64_t handovers; /* how many threads have owned it */
    uint64_t padding[7];
};
_Static_assert(sizeof(struct gv_ring) == 128, "two cache lines");

/* A run in progress, so that one that never ends is known too. */
struct gv_active_run {
    _Atomic uint32_t run; /* 0: free; published last */
    _Atomic uint32_t graph;
    _Atomic uint32_t placement;
    _Atomic uint32_t phase; /* enum gv_phase; known once the graph is */
    _Atomic uint64_t start;
    uint64_t padding[5];
};
_Static_assert(sizeof(struct gv_active_run) == 64, "one cache line");

/* What one whole second saw, for a viewer that only wants to know what happens now. Second number s of the monotonic
 * clock is counted in entry s % GV_SECONDS; an entry that says another second counts nothing. Counted when a run ends;
 * two callers that end runs at the very turn of a second may count one of them wrongly: it is a display, not a record.
 */
struct gv_second {
    _Atomic uint64_t second;
    _Atomic uint32_t runs[GV_PHASE_COUNT];
    _Atomic uint32_t tokens[GV_PHASE_COUNT];
};

struct gv_segment {
    char magic[8];
    uint32_t version;
    uint32_t pid;
    uint64_t size;            /* of the file */
    _Atomic uint32_t ready;   /* 1: everything below is valid */
    _Atomic uint32_t control; /* enum gv_detail | GV_CONTROL_… */
    uint32_t clock_kind;      /* enum gv_clock_kind */
    uint32_t ring_count;      /* rings that may be claimed */
    uint32_t ring_records;    /* capacity of each, a power of two */
    uint32_t put_cost_ps;     /* measured in this process: picoseconds to record one node on one thread */
    uint64_t rings_offset;    /* of struct gv_ring[ring_count] */
    uint64_t log_offset;      /* of the definition log */
    uint64_t log_capacity;
    uint64_t records_offset; /* of struct gv_record[ring_count][ring_records] */
    uint64_t start_ticks;    /* the agent's start, on three clocks */
    uint64_t start_monotonic_ns;
    uint64_t start_wall_ns;
    _Atomic uint64_t log_tail;            /* bytes of definitions published */
    _Atomic uint64_t definitions_dropped; /* definitions that found the log full */
    _Atomic uint64_t records_dropped;     /* records that found no ring to claim */
    _Atomic uint64_t records_skipped;     /* records left out on request: event limit, filters */
    _Atomic uint64_t recorder;            /* gv_process_word of who drains the segment into a trace; 0: nobody does */
    struct gv_second seconds[GV_SECONDS];
    uint64_t process_start;     /* as gv_process_start has it: systems give a number again */
    _Atomic uint32_t recording; /* rises when a recorder begins anew, after it has left new settings */
    uint32_t padding[1];
    struct gv_active_run active[GV_ACTIVE_RUNS];
};
_Static_assert(offsetof(struct gv_segment, active) % 64 == 0, "active runs start on a cache line");
_Static_assert(sizeof(struct gv_segment) <= GV_PAGE, "the header is one page");

#endif
