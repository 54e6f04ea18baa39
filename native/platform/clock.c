/* Chooses the clock, and reads all of them at one instant. */
#include "platform/clock.h"

int gv_clock_chosen = -1;

int gv_clock_init(void) {
    if (gv_clock_chosen < 0) {
        gv_clock_chosen = gv_counter_is_invariant() ? GV_CLOCK_COUNTER : GV_CLOCK_MONOTONIC;
    }
    return gv_clock_chosen;
}

void gv_clock_sample(uint64_t out[3]) {
    gv_clock_init();
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 8; i++) {
        uint64_t before = gv_ticks();
        uint64_t monotonic = gv_nanoseconds(CLOCK_MONOTONIC);
        uint64_t wall = gv_nanoseconds(CLOCK_REALTIME);
        uint64_t after = gv_ticks();
        if (after - before < best) {
            best = after - before;
            out[0] = gv_clock_chosen == GV_CLOCK_COUNTER ? before + (after - before) / 2 : monotonic;
            out[1] = monotonic;
            out[2] = wall;
        }
    }
}
