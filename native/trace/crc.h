/* CRC-32 as zlib computes it. */
#ifndef GV_CRC_H
#define GV_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continues from `crc`; start with 0. */
uint32_t gv_crc32(uint32_t crc, const void *data, size_t length);

#endif
