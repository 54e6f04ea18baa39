/* The clock that stamps records: the CPU's counter where it is invariant, else the monotonic clock. */
#ifndef GV_CLOCK_H
#define GV_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "ring/segment.h"

/* enum gv_clock_kind; chosen once by gv_clock_init, read by every stamp. */
extern int gv_clock_chosen;

/* Whether the counter ticks at one rate in all power states and on all cores. Each system says. */
bool gv_counter_is_invariant(void);

/* Chooses the clock. Cheap to call again. Returns enum gv_clock_kind. */
int gv_clock_init(void);

static inline uint64_t gv_nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The CPU may look ahead: a stamp may be some tens of nanoseconds older than what stands before it in the program. */
static inline uint64_t gv_counter(void) {
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return gv_nanoseconds(CLOCK_MONOTONIC);
#endif
}

static inline uint64_t gv_ticks(void) {
    return __builtin_expect(gv_clock_chosen == GV_CLOCK_COUNTER, 1) ? gv_counter() : gv_nanoseconds(CLOCK_MONOTONIC);
}

/* One instant on all clocks: ticks, monotonic ns, wall ns. The tightest of a few tries, so that the pair
 * is good to well under a microsecond even if the thread is interrupted in between. */
void gv_clock_sample(uint64_t out[3]);

#endif
