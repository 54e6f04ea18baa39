/* The checksum is zlib's, however the data is cut. */
#include "support.h"

int main(void) {
    CHECK_EQUAL(gv_crc32(0, "", 0), 0);
    CHECK_EQUAL(gv_crc32(0, "a", 1), 0xe8b7be43);
    CHECK_EQUAL(gv_crc32(0, "123456789", 9), 0xcbf43926);
    CHECK_EQUAL(gv_crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    CHECK_EQUAL(gv_crc32(0, zeros, sizeof zeros), 0x190a55ad);
    CHECK_EQUAL(gv_crc32(0, ones, sizeof ones), 0xff6cab0b);

    uint8_t data[257];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)random_u64(&seed);
    }
    uint32_t whole = gv_crc32(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        CHECK_EQUAL(gv_crc32(gv_crc32(0, data, cut), data + cut, sizeof data - cut), whole);
    }
}
