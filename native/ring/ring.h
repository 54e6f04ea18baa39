/* Putting a record into a ring: what the watched thread does, and all that it does. */
#ifndef GV_RING_H
#define GV_RING_H

#include <string.h>

#include "ring/segment.h"

/* Publishes one record. Only the ring's owner may call this.
 *
 * The fence keeps the record's words behind the publication of the previous one: a reader that finds `head`
 * at h has not copied a slot into which record h + 1 was being written. On x86-64 it costs nothing. */
static inline void gv_ring_put(struct gv_ring *ring, struct gv_record *slots, uint64_t mask,
                               const struct gv_record *record) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
#ifndef __SANITIZE_THREAD__
    atomic_thread_fence(memory_order_release);
#endif
    uint64_t words[4];
    memcpy(words, record, sizeof words);
    _Atomic uint64_t *slot = (_Atomic uint64_t *)&slots[head & mask];
    for (int i = 0; i < 4; i++) {
        atomic_store_explicit(&slot[i], words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

/* The duration `ticks` as a record stores it: how far all of a record's durations must be shifted so that
 * the longest fits 32 bits. */
static inline uint8_t gv_duration_shift(uint64_t longest) {
    uint8_t shift = 0;
    while (shift < 15 && longest >> shift > UINT32_MAX) {
        shift++;
    }
    return shift;
}

static inline uint32_t gv_duration(uint64_t ticks, uint8_t shift) {
    ticks >>= shift;
    return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

#endif
