/* The encoding of records in a RECS chunk (docs/trace-format.md, "Records"). */
#ifndef GV_RECORDS_H
#define GV_RECORDS_H

#include "ring/segment.h"

/* No record takes more bytes than this. */
#define GV_RECORD_ENCODED_MAX 64u
/* Nor does a chunk's head. */
#define GV_RECORDS_HEAD_MAX 20u

/* What the encoding of a record depends on; all zero at the start of a chunk. */
struct gv_records_state {
    uint64_t end;
    uint32_t run;
    uint32_t node;
    uint16_t worker;
};

/* Appends a record at `out`, which has room for GV_RECORD_ENCODED_MAX bytes. Returns the new end. */
uint8_t *gv_record_encode(struct gv_records_state *state, const struct gv_record *record, uint8_t *out);

/* Counts the records of a payload; -1 if malformed. */
int64_t gv_payload_count(const uint8_t *payload, size_t length);

/* Decodes a payload. Returns the count, -1 if malformed, -2 if it holds more than `capacity`. */
int64_t gv_payload_decode(const uint8_t *payload, size_t length, struct gv_record *out, size_t capacity);

#endif
