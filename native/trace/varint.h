/* Unsigned LEB128 and zigzag, into and out of bounded buffers. */
#ifndef GV_VARINT_H
#define GV_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GV_VARINT_MAX 10u

static inline uint8_t *gv_varint_put(uint8_t *out, uint64_t value) {
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* Reads a varint at *in, moving it. False where it is cut off or does not fit 64 bits. */
static inline bool gv_varint_get(const uint8_t **in, const uint8_t *end, uint64_t *value) {
    const uint8_t *at = *in;
    if (at < end && *at < 0x80) {
        *value = *at;
        *in = at + 1;
        return true;
    }
    uint64_t result = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            *in = at;
            return true;
        }
    }
    return false;
}

static inline bool gv_varint_get32(const uint8_t **in, const uint8_t *end, uint32_t *value) {
    uint64_t wide;
    if (!gv_varint_get(in, end, &wide) || wide > UINT32_MAX) {
        return false;
    }
    *value = (uint32_t)wide;
    return true;
}

/* The difference of two unsigned words, wrapping, as a zigzag number. */
static inline uint64_t gv_zigzag(uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}

static inline uint64_t gv_unzigzag(uint64_t value) {
    return (value >> 1) ^ (0 - (value & 1));
}

#endif
