/* The trace file's words, as docs/trace-format.md specifies them. */
#ifndef GV_FORMAT_H
#define GV_FORMAT_H

#include <stdint.h>

#define GV_TRACE_MAGIC "GGMLVIZ2"
#define GV_TRACE_VERSION 2u
#define GV_CHUNK_MAX (64u << 20)

#define GV_FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define GV_CHUNK_GRUP GV_FOURCC('G', 'R', 'U', 'P')
#define GV_CHUNK_MACH GV_FOURCC('M', 'A', 'C', 'H')
#define GV_CHUNK_DEFS GV_FOURCC('D', 'E', 'F', 'S')
#define GV_CHUNK_RECS GV_FOURCC('R', 'E', 'C', 'S')
#define GV_CHUNK_CLOK GV_FOURCC('C', 'L', 'O', 'K')
#define GV_CHUNK_STAT GV_FOURCC('S', 'T', 'A', 'T')
/* Of the header's flags: the file was written as trace/circular.h says. */
#define GV_TRACE_CIRCULAR 1u
#define GV_CHUNK_PAD GV_FOURCC('P', 'A', 'D', ' ')
#define GV_CHUNK_DONE GV_FOURCC('D', 'O', 'N', 'E')

struct gv_file_header {
    char magic[8];
    uint32_t version;
    uint32_t flags;
};

struct gv_chunk_header {
    uint32_t kind;
    uint32_t process;
    uint32_t length;
    uint32_t crc;
};

/* At the beginning of each chunk's payload in a circular file, PADs excepted. */
struct gv_circular_prefix {
    uint64_t sequence; /* chunks written before */
    uint64_t records;  /* of this process, in chunks written before, whether still there or not */
    uint64_t latest;   /* no record of those ended after this, in ticks */
};

struct gv_stat {
    uint64_t written;
    uint64_t lost;
    uint64_t dropped;
    uint64_t skipped;
    uint64_t definitions_dropped;
    uint64_t touched_bytes;
};

enum gv_done { GV_DONE_ENDED = 0, GV_DONE_DETACHED = 1, GV_DONE_ABNORMAL = 2 };

#define GV_STATUS_UNFINISHED 65535u

enum gv_definition {
    GV_DEF_PROCESS = 1,
    GV_DEF_NOTE = 2,
    GV_DEF_RUNTIME = 3,
    GV_DEF_NAME = 4,
    GV_DEF_BACKEND = 5,
    GV_DEF_PLACE = 6,
    GV_DEF_BUFFER = 7,
    GV_DEF_BUFFER_FREE = 8,
    GV_DEF_GRAPH = 9,
    GV_DEF_PLACEMENT = 10,
};

enum gv_note { GV_NOTE_INFO = 0, GV_NOTE_NOT_SEEN = 1, GV_NOTE_DISTORTING = 2 };

struct gv_definition_header {
    uint32_t length; /* of the whole entry; a multiple of 8 */
    uint16_t kind;
    uint16_t padding;
};

#endif
