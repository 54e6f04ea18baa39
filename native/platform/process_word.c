/* Processes in one word. */
#include "platform/platform.h"

uint64_t gv_process_word(uint32_t pid) {
    return gv_process_start(pid) << 32 | pid;
}

uint32_t gv_process_of(uint64_t word) {
    uint32_t pid = (uint32_t)word, began = (uint32_t)(word >> 32);
    if (!pid || gv_process_gone(pid, 0)) {
        return 0;
    }
    uint32_t begins = began ? (uint32_t)gv_process_start(pid) : 0;
    return begins && begins != began ? 0 : pid;
}
