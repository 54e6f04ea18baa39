/* The clock that stamps records goes at one rate, and never back. */
#include "platform/clock.h"
#include "support.h"

#define WAIT_NS 50000000u

/* Nanoseconds per tick between two samples. */
static double rate(const uint64_t from[3], const uint64_t to[3]) {
    CHECK(to[0] > from[0] && to[1] > from[1]);
    return (double)(to[1] - from[1]) / (double)(to[0] - from[0]);
}

int main(void) {
    uint64_t samples[3][3], before = 0;
    for (int i = 0; i < 3; i++) {
        gv_clock_sample(samples[i]);
        gv_sleep_ns(WAIT_NS);
    }
    double first = rate(samples[0], samples[1]), second = rate(samples[1], samples[2]);
    CHECK(first < second * 1.01 && second < first * 1.01);
    for (int i = 0; i < 1000000; i++) {
        uint64_t now = gv_ticks();
        CHECK(now >= before);
        before = now;
    }
}
