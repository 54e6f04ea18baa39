/* What this machine can do at most: memory bandwidth, and operations on floats and on 8-bit integers.
 *
 * Some threads do the same at once, started together; the rate is all their work over the time until the last is done.
 * Loops that compute keep their accumulators in registers, enough of them to hide the latency of an instruction. The
 * widest instructions that the CPU has are chosen at run time, but for AMX, which virtual machines may forbid. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/core.h"
#include "platform/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define GV_MAX_THREADS 1024
#define GV_CHUNK_WORDS 65536u /* between two looks at the clock: 512 KiB */
#define GV_CHUNK_STEPS 8192u

/* Does some work, `amount` times, and returns how much it was: operations or bytes. What it computed goes to *sink, so
 * that the compiler cannot leave it out. */
typedef double (*gv_loop)(size_t amount, float *sink);

/* Accumulators have to be registers, each step has to be made: an inner loop is unrolled, and what it computes is said
 * to be looked at, by an instruction that is none. */
#define GV_UNROLL _Pragma("GCC unroll 16")
#define GV_KEEP(where, value) __asm__ volatile("" : "+" where(value))

#if defined(__x86_64__)

#define GV_FLOAT_LOOP(name, isa, type, width, set, fma, sum)                                                           \
    __attribute__((target(isa))) static double name(size_t amount, float *sink) {                                      \
        type a[10];                                                                                                    \
        for (int i = 0; i < 10; i++) {                                                                                 \
            a[i] = set((float)i);                                                                                      \
        }                                                                                                              \
        const type x = set(0.999f), y = set(1e-3f);                                                                    \
        for (size_t step = 0; step < amount; step++) {                                                                 \
            GV_UNROLL                                                                                                  \
            for (int i = 0; i < 10; i++) {                                                                             \
                a[i] = fma(a[i], x, y);                                                                                \
                GV_KEEP("v", a[i]);                                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        for (int i = 1; i < 10; i++) {                                                                                 \
            a[0] = fma(a[0], x, a[i]);                                                                                 \
        }                                                                                                              \
        *sink += sum(a[0]);                                                                                            \
        return (double)amount * 10 * (width) * 2;                                                                      \
    }

static inline __m128 mul_add_sse(__m128 a, __m128 x, __m128 y) {
    return _mm_add_ps(_mm_mul_ps(a, x), y);
}

#define GV_FIRST_256(v) _mm256_cvtss_f32(v)
#define GV_FIRST_512(v) _mm512_cvtss_f32(v)

GV_FLOAT_LOOP(floats_sse, "sse2", __m128, 4, _mm_set1_ps, mul_add_sse, _mm_cvtss_f32)
GV_FLOAT_LOOP(floats_avx2, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps, GV_FIRST_256)
GV_FLOAT_LOOP(floats_avx512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps, GV_FIRST_512)

/* Each step multiplies unsigned bytes by signed ones and adds them up in 32-bit lanes. That `x` may have changed is
 * said too, so that no product can be taken out of the loop. */
__attribute__((target("ssse3"))) static double integers_ssse3(size_t amount, float *sink) {
    __m128i a[8] = {0}, x = _mm_set1_epi8(3), y = _mm_set1_epi8(-2);
    const __m128i ones = _mm_set1_epi16(1);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 8; i++) {
            GV_KEEP("x", x);
            a[i] = _mm_add_epi32(a[i], _mm_madd_epi16(_mm_maddubs_epi16(x, y), ones));
            GV_KEEP("x", a[i]);
        }
    }
    for (int i = 1; i < 8; i++) {
        a[0] = _mm_add_epi32(a[0], a[i]);
    }
    *sink += (float)_mm_cvtsi128_si32(a[0]);
    return (double)amount * 8 * 16 * 2;
}

__attribute__((target("avx2"))) static double integers_avx2(size_t amount, float *sink) {
    __m256i a[8] = {0}, x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 8; i++) {
            GV_KEEP("x", x);
            a[i] = _mm256_add_epi32(a[i], _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
            GV_KEEP("x", a[i]);
        }
    }
    for (int i = 1; i < 8; i++) {
        a[0] = _mm256_add_epi32(a[0], a[i]);
    }
    *sink += (float)_mm256_cvtsi256_si32(a[0]);
    return (double)amount * 8 * 32 * 2;
}

__attribute__((target("avx2,avxvnni"))) static double integers_avx_vnni(size_t amount, float *sink) {
    __m256i a[10] = {0}, x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 10; i++) {
            GV_KEEP("x", x);
            a[i] = _mm256_dpbusd_avx_epi32(a[i], x, y);
            GV_KEEP("x", a[i]);
        }
    }
    for (int i = 1; i < 10; i++) {
        a[0] = _mm256_add_epi32(a[0], a[i]);
    }
    *sink += (float)_mm256_cvtsi256_si32(a[0]);
    return (double)amount * 10 * 32 * 2;
}

__attribute__((target("avx512f,avx512vnni"))) static double integers_vnni(size_t amount, float *sink) {
    __m512i a[10] = {0}, x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-2);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 10; i++) {
            GV_KEEP("v", x);
            a[i] = _mm512_dpbusd_epi32(a[i], x, y);
            GV_KEEP("v", a[i]);
        }
    }
    for (int i = 1; i < 10; i++) {
        a[0] = _mm512_add_epi32(a[0], a[i]);
    }
    *sink += (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(a[0]));
    return (double)amount * 10 * 64 * 2;
}

enum { HAS_SSSE3 = 1, HAS_AVX2 = 2, HAS_AVX512 = 4, HAS_VNNI = 8, HAS_AVX_VNNI = 16 };

/* What the CPU has and the system saves the registers of. __builtin_cpu_supports needs a runtime library for that,
 * which this one does not link. */
static unsigned features(void) {
    unsigned a, b, c, d, found = 0, registers = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return 0;
    }
    found |= c & bit_SSSE3 ? HAS_SSSE3 : 0;
    unsigned fma = c & bit_FMA;
    if (c & bit_OSXSAVE) {
        unsigned high;
        __asm__("xgetbv" : "=a"(registers), "=d"(high) : "c"(0));
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return found;
    }
    found |= (registers & 0x06) == 0x06 && (b & bit_AVX2) && fma ? HAS_AVX2 : 0;
    if ((registers & 0xe6) == 0xe6 && (b & bit_AVX512F)) {
        found |= HAS_AVX512 | (c & bit_AVX512VNNI ? HAS_VNNI : 0);
    }
    if (found & HAS_AVX2 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        found |= a & 1u << 4 ? HAS_AVX_VNNI : 0;
    }
    return found;
}

static gv_loop float_loop(void) {
    unsigned has = features();
    return has & HAS_AVX512 ? floats_avx512 : has & HAS_AVX2 ? floats_avx2 : floats_sse;
}

static gv_loop integer_loop(void) {
    unsigned has = features();
    if (has & (HAS_VNNI | HAS_AVX_VNNI)) {
        return has & HAS_VNNI ? integers_vnni : integers_avx_vnni;
    }
    return has & HAS_AVX2 ? integers_avx2 : has & HAS_SSSE3 ? integers_ssse3 : NULL;
}

#elif defined(__aarch64__)

static double floats_neon(size_t amount, float *sink) {
    float32x4_t a[16];
    for (int i = 0; i < 16; i++) {
        a[i] = vdupq_n_f32((float)i);
    }
    const float32x4_t x = vdupq_n_f32(0.999f), y = vdupq_n_f32(1e-3f);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 16; i++) {
            a[i] = vfmaq_f32(y, a[i], x);
            GV_KEEP("w", a[i]);
        }
    }
    for (int i = 1; i < 16; i++) {
        a[0] = vaddq_f32(a[0], a[i]);
    }
    *sink += vgetq_lane_f32(a[0], 0);
    return (double)amount * 16 * 4 * 2;
}

static double integers_neon(size_t amount, float *sink) {
    int32x4_t a[8];
    for (int i = 0; i < 8; i++) {
        a[i] = vdupq_n_s32(i);
    }
    int8x16_t x = vdupq_n_s8(3);
    const int8x16_t y = vdupq_n_s8(-2);
    for (size_t step = 0; step < amount; step++) {
        GV_UNROLL
        for (int i = 0; i < 8; i++) {
            GV_KEEP("w", x);
            int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(y));
            a[i] = vpadalq_s16(a[i], vmlal_s8(low, vget_high_s8(x), vget_high_s8(y)));
        }
    }
    for (int i = 1; i < 8; i++) {
        a[0] = vaddq_s32(a[0], a[i]);
    }
    *sink += (float)vgetq_lane_s32(a[0], 0);
    return (double)amount * 8 * 16 * 2;
}

static gv_loop float_loop(void) {
    return floats_neon;
}

static gv_loop integer_loop(void) {
    return integers_neon;
}

#endif

enum signal { WAIT, BEGIN, GIVE_UP };
enum task { TRIAD, READ, FLOATS, INTEGERS, TASKS };

/* What all threads of a measurement share. */
struct team {
    atomic_int signal; /* enum signal */
    enum task task;
    uint64_t until_ns; /* for how long each works */
    size_t words;      /* of each of a thread's three arrays */
    gv_loop loop;      /* of tasks that compute; NULL: the CPU has no instruction for it */
};

struct member {
    struct team *team;
    pthread_t thread;
    double *memory; /* three arrays */
    size_t at;     /* where in its memory it goes on, so that a round does not find what the last one left in a cache */
    double amount; /* bytes or operations */
    uint64_t began_ns, ended_ns;
    float sink;
};

static double triad(double *a, const double *b, const double *c, size_t words) {
    for (size_t i = 0; i < words; i++) {
        a[i] = b[i] + 3.0 * c[i];
    }
    return (double)words * 3 * sizeof(double);
}

/* Eight sums, so that reading is not held up by adding. */
static double read_words(const double *a, size_t words, float *sink) {
    uint64_t sums[8] = {0};
    const uint64_t *from = (const uint64_t *)(const void *)a;
    for (size_t i = 0; i + 8 <= words; i += 8) {
        for (size_t j = 0; j < 8; j++) {
            sums[j] ^= from[i + j];
        }
    }
    uint64_t all = 0;
    for (size_t j = 0; j < 8; j++) {
        all ^= sums[j];
    }
    *sink += (float)(all & 1);
    return (double)words * sizeof(double);
}

static double work_once(struct member *me) {
    const struct team *team = me->team;
    size_t words = team->words, from = me->at;
    size_t count = words - from < GV_CHUNK_WORDS ? words - from : GV_CHUNK_WORDS;
    switch (team->task) {
    case TRIAD:
        me->at = from + count == words ? 0 : from + count;
        return triad(me->memory + from, me->memory + words + from, me->memory + 2 * words + from, count);
    case READ:
        /* All three arrays as one. */
        count = 3 * words - from < GV_CHUNK_WORDS ? 3 * words - from : GV_CHUNK_WORDS;
        me->at = from + count == 3 * words ? 0 : from + count;
        return read_words(me->memory + from, count, &me->sink);
    default:
        return team->loop ? team->loop(GV_CHUNK_STEPS, &me->sink) : 0;
    }
}

static void *work(void *argument) {
    struct member *me = argument;
    int signal;
    while ((signal = atomic_load_explicit(&me->team->signal, memory_order_acquire)) == WAIT) {
        sched_yield();
    }
    if (signal == GIVE_UP) {
        return NULL;
    }
    me->began_ns = gv_nanoseconds(CLOCK_MONOTONIC);
    do {
        me->amount += work_once(me);
        me->ended_ns = gv_nanoseconds(CLOCK_MONOTONIC);
    } while (me->ended_ns - me->began_ns < me->team->until_ns);
    return NULL;
}

/* One round of a task on all threads: its rate a second, or a negative errno. */
static double round_of(struct member *members, size_t threads, enum task task, uint64_t until_ns, size_t words) {
    struct team team = {.task = task, .until_ns = until_ns, .words = words};
    team.loop = task == FLOATS ? float_loop() : task == INTEGERS ? integer_loop() : NULL;
    size_t made = 1; /* the caller is one of them */
    int error = 0;
    for (size_t i = 0; i < threads; i++) {
        members[i].team = &team;
        members[i].amount = 0;
    }
    while (made < threads && error == 0) {
        error = pthread_create(&members[made].thread, NULL, work, &members[made]);
        made += error == 0;
    }
    atomic_store_explicit(&team.signal, error ? GIVE_UP : BEGIN, memory_order_release);
    work(&members[0]);
    for (size_t i = 1; i < made; i++) {
        pthread_join(members[i].thread, NULL);
    }
    if (error) {
        return -error;
    }
    uint64_t began = UINT64_MAX, ended = 0;
    double amount = 0;
    for (size_t i = 0; i < threads; i++) {
        began = members[i].began_ns < began ? members[i].began_ns : began;
        ended = members[i].ended_ns > ended ? members[i].ended_ns : ended;
        amount += members[i].amount;
    }
    return ended > began ? amount / ((double)(ended - began) * 1e-9) : 0;
}

int gv_measure_peaks(uint32_t threads, uint64_t memory_bytes, uint32_t rounds, uint64_t round_ns, double out[4]) {
    if (threads == 0 || threads > GV_MAX_THREADS || rounds == 0) {
        return -EINVAL;
    }
    size_t words = (size_t)(memory_bytes / sizeof(double) / 3 / threads);
    words = words < GV_CHUNK_WORDS ? GV_CHUNK_WORDS : words - words % 8;
    struct member *members = calloc(threads, sizeof *members);
    double *memory = members ? malloc(words * 3 * threads * sizeof(double)) : NULL;
    if (!memory) {
        free(members);
        return -ENOMEM;
    }
    int error = 0;
    for (size_t i = 0; i < threads; i++) {
        members[i].memory = memory + i * 3 * words;
    }
    for (size_t i = 0; i < words * 3 * threads; i++) {
        memory[i] = 1.0; /* a page that was never written may be one and the same for all */
    }
    for (int task = 0; task < TASKS && error == 0; task++) {
        out[task] = 0;
        for (size_t i = 0; i < threads; i++) {
            members[i].at = 0;
        }
        for (uint32_t i = 0; i < rounds && error == 0; i++) {
            double rate = round_of(members, threads, (enum task)task, round_ns, words);
            error = rate < 0 ? (int)rate : 0;
            out[task] = rate > out[task] ? rate : out[task];
        }
    }
    free(memory);
    free(members);
    return error;
}
