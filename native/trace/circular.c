/* Chunks lie in the order in which they were written, from the hand on: the hand goes round the file, takes what may be
 * let go and steps over what must be kept. So what is let go is always the oldest, and the cost of a chunk is that of
 * appending it.
 *
 * Nothing is ever torn for a reader, whenever the recorder is killed: headers lie at multiples of 16 bytes, so that
 * each is in one page and written as a whole or not at all, and a chunk gets its header last, in a place that one `PAD
 * ` header has covered before. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "trace/circular.h"
#include "trace/crc.h"
#include "trace/format.h"
#include "trace/varint.h"

#define ALIGN 16u

/* Where a chunk lies, header included. */
struct place {
    uint64_t offset, length;
    struct place *next; /* in the file */
    uint32_t kind, process;
    bool free; /* may be let go */
};

struct process {
    uint32_t number;
    uint64_t records, latest;
    bool has_clock;             /* its first CLOK is in the file */
    struct place *clock, *stat; /* the last ones, until newer ones are in the file; not the first CLOK */
};

struct gv_circular {
    int fd;
    gv_circular_write write;
    uint64_t max_bytes, end, sequence;
    struct place *first, *last;
    struct place *before; /* the hand is behind this place; NULL: at the first */
    struct process *processes;
    size_t process_count;
    uint8_t *buffer; /* a payload with its prefix */
    size_t capacity;
};

static uint64_t rounded(uint64_t length) {
    return (length + ALIGN - 1) / ALIGN * ALIGN;
}

/* Writes all. Returns 0 or an errno. */
static int write_at(struct gv_circular *circular, const void *data, size_t length, uint64_t offset) {
    const uint8_t *at = data;
    while (length) {
        int64_t written = circular->write(circular->fd, at, length, offset);
        if (written <= 0) {
            return written < 0 ? (int)-written : ENOSPC;
        }
        at += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return 0;
}

static int write_pad(struct gv_circular *circular, uint64_t offset, uint64_t length) {
    struct gv_chunk_header header = {.kind = GV_CHUNK_PAD, .length = (uint32_t)(length - sizeof header)};
    header.crc = gv_crc32(0, &header, offsetof(struct gv_chunk_header, crc));
    return write_at(circular, &header, sizeof header, offset);
}

struct gv_circular *gv_circular_begin(int fd, uint64_t max_bytes, gv_circular_write write, int *error) {
    struct gv_circular *circular = calloc(1, sizeof *circular);
    if (!circular) {
        *error = ENOMEM;
        return NULL;
    }
    circular->fd = fd;
    circular->write = write;
    circular->max_bytes = max_bytes;
    circular->end = sizeof(struct gv_file_header);
    struct gv_file_header header = {.version = GV_TRACE_VERSION, .flags = GV_TRACE_CIRCULAR};
    memcpy(header.magic, GV_TRACE_MAGIC, sizeof header.magic);
    *error = max_bytes < sizeof header ? EFBIG : write_at(circular, &header, sizeof header, 0);
    if (*error) {
        gv_circular_free(circular);
        return NULL;
    }
    return circular;
}

static struct process *process_of(struct gv_circular *circular, uint32_t number) {
    for (size_t i = circular->process_count; i-- > 0;) {
        if (circular->processes[i].number == number) {
            return &circular->processes[i];
        }
    }
    size_t count = circular->process_count;
    struct process *processes = realloc(circular->processes, (count + 1) * sizeof *processes);
    if (!processes) {
        return NULL;
    }
    circular->processes = processes;
    circular->process_count++;
    processes[count] = (struct process){.number = number};
    return &processes[count];
}

/* Room found: `first` and those behind it, `length` bytes in all. */
struct room {
    struct place *before, *first;
    uint64_t length;
};

/* Looks for room from the hand on, once round the file. */
static bool find_room(const struct gv_circular *circular, uint64_t wanted, struct room *out) {
    struct place *start = circular->before ? circular->before->next : circular->first;
    struct place *before = circular->before, *at = start;
    bool wrapped = false;
    struct room room = {0};
    for (;;) {
        if (!at) {
            /* Places at the end and at the beginning do not touch. */
            if (wrapped || circular->end + wanted <= circular->max_bytes) {
                return false;
            }
            wrapped = true;
            before = NULL;
            at = circular->first;
            room.length = 0;
            continue;
        }
        if (!at->free) {
            room.length = 0;
        } else {
            if (!room.length) {
                room.before = before;
                room.first = at;
            }
            room.length += at->length;
            if (room.length >= wanted) {
                *out = room;
                return true;
            }
        }
        before = at;
        at = at->next;
    }
}

/* Makes PADs of what may be let go between the hand and `until`: what is older than the records let go there must not
 * stay. NULL: until the end of the file. */
static int let_go_until(struct gv_circular *circular, const struct place *until) {
    struct place *at = circular->before ? circular->before->next : circular->first;
    for (bool wrapped = false; at != until;) {
        if (!at) {
            if (wrapped) {
                break;
            }
            wrapped = true;
            at = circular->first;
            continue;
        }
        if (at->free && at->kind != GV_CHUNK_PAD) {
            int error = write_pad(circular, at->offset, at->length);
            if (error) {
                return error;
            }
            at->kind = GV_CHUNK_PAD;
        }
        at = at->next;
    }
    return 0;
}

/* Writes a chunk of `length` bytes, header included, over the room. */
static int overwrite(struct gv_circular *circular, const struct room *room, const struct gv_chunk_header *header,
                     struct place *place, struct place *rest) {
    int error = write_pad(circular, room->first->offset, room->length);
    uint64_t left = room->length - place->length;
    place->offset = room->first->offset;
    if (!error && left) {
        error = write_pad(circular, place->offset + place->length, left);
    }
    if (!error) {
        error = write_at(circular, circular->buffer, header->length, place->offset + sizeof *header);
    }
    if (!error) {
        error = write_at(circular, header, sizeof *header, place->offset);
    }
    if (error) {
        return error;
    }
    struct place *behind = room->first;
    for (uint64_t length = 0; length < room->length;) {
        struct place *next = behind->next;
        length += behind->length;
        if (circular->last == behind) {
            circular->last = NULL;
        }
        free(behind);
        behind = next;
    }
    place->next = behind;
    struct place *end = place;
    if (left) {
        *rest = (struct place){.offset = place->offset + place->length,
                               .length = left,
                               .next = behind,
                               .kind = GV_CHUNK_PAD,
                               .free = true};
        place->next = rest;
        end = rest;
    } else {
        free(rest);
    }
    if (!circular->last) {
        circular->last = end;
    }
    if (room->before) {
        room->before->next = place;
    } else {
        circular->first = place;
    }
    return 0;
}

/* At the end of the file a torn chunk ends what is read, and nothing is behind it: one write does. */
static int append(struct gv_circular *circular, const struct gv_chunk_header *header, struct place *place) {
    int error = write_at(circular, circular->buffer - sizeof *header, place->length, circular->end);
    if (error) {
        /* Where even this fails the torn chunk stays; a reader stops before it. */
        gv_file_cut(circular->fd, circular->end);
        return error;
    }
    place->offset = circular->end;
    circular->end += place->length;
    if (circular->last) {
        circular->last->next = place;
    } else {
        circular->first = place;
    }
    circular->last = place;
    return 0;
}

/* What was written is the newest of its kind: what it supersedes may go. */
static void note(struct process *process, struct place *place) {
    switch (place->kind) {
    case GV_CHUNK_RECS:
        place->free = true;
        break;
    case GV_CHUNK_STAT:
        if (process->stat) {
            process->stat->free = true;
        }
        process->stat = place;
        break;
    case GV_CHUNK_CLOK:
        if (process->clock) {
            process->clock->free = true;
        }
        process->clock = process->has_clock ? place : NULL;
        process->has_clock = true;
        break;
    default:
        break;
    }
}

static uint64_t records_in(uint32_t kind, const uint8_t *payload, size_t length) {
    const uint8_t *at = payload;
    uint64_t ring, count;
    bool known = kind == GV_CHUNK_RECS && gv_varint_get(&at, payload + length, &ring) &&
                 gv_varint_get(&at, payload + length, &count);
    return known ? count : 0;
}

/* Puts room for a header, the prefix and the payload into the buffer, which begins behind the header. */
static bool fill_buffer(struct gv_circular *circular, const struct gv_circular_prefix *prefix, const void *payload,
                        size_t length) {
    size_t wanted = rounded(sizeof(struct gv_chunk_header) + sizeof *prefix + length);
    if (wanted > circular->capacity) {
        uint8_t *start = circular->buffer ? circular->buffer - sizeof(struct gv_chunk_header) : NULL;
        uint8_t *grown = realloc(start, wanted);
        if (!grown) {
            return false;
        }
        circular->buffer = grown + sizeof(struct gv_chunk_header);
        circular->capacity = wanted;
    }
    memset(circular->buffer - sizeof(struct gv_chunk_header) + wanted - ALIGN, 0, ALIGN);
    memcpy(circular->buffer, prefix, sizeof *prefix);
    if (length) {
        memcpy(circular->buffer + sizeof *prefix, payload, length);
    }
    return true;
}

int gv_circular_chunk(struct gv_circular *circular, uint32_t kind, uint32_t number, uint64_t latest,
                      const void *payload, size_t length) {
    struct process *process = process_of(circular, number);
    struct place *place = calloc(1, sizeof *place), *rest = calloc(1, sizeof *rest);
    struct gv_circular_prefix prefix = {.sequence = circular->sequence};
    if (process) {
        prefix.records = process->records;
        prefix.latest = process->latest;
    }
    if (!process || !place || !rest || !fill_buffer(circular, &prefix, payload, length)) {
        free(place);
        free(rest);
        return ENOMEM;
    }
    struct gv_chunk_header header = {.kind = kind, .process = number, .length = (uint32_t)(sizeof prefix + length)};
    header.crc = gv_crc32(gv_crc32(0, &header, offsetof(struct gv_chunk_header, crc)), circular->buffer, header.length);
    memcpy(circular->buffer - sizeof header, &header, sizeof header);
    place->kind = kind;
    place->process = number;
    place->length = rounded(sizeof header + header.length);
    struct room room;
    int error;
    if (find_room(circular, place->length, &room)) {
        error = let_go_until(circular, room.first);
        error = error ? error : overwrite(circular, &room, &header, place, rest);
    } else if (circular->end + place->length <= circular->max_bytes) {
        error = let_go_until(circular, NULL);
        error = error ? error : append(circular, &header, place);
        free(rest);
    } else {
        error = EFBIG;
        free(rest);
        rest = NULL;
    }
    if (error) {
        free(place); /* nothing more is written after an error: what the list says no longer matters */
        return error;
    }
    circular->before = place;
    circular->sequence++;
    process->records += records_in(kind, payload, length);
    process->latest = latest > process->latest ? latest : process->latest;
    note(process, place);
    return 0;
}

uint64_t gv_circular_bytes(const struct gv_circular *circular) {
    return circular->end;
}

void gv_circular_free(struct gv_circular *circular) {
    while (circular->first) {
        struct place *next = circular->first->next;
        free(circular->first);
        circular->first = next;
    }
    if (circular->buffer) {
        free(circular->buffer - sizeof(struct gv_chunk_header));
    }
    free(circular->processes);
    free(circular);
}
