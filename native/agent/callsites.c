/* Re-targeting direct calls, without a disassembler.
 *
 * A direct call holds the distance to its target. In x86-64 text, every byte that would start a call or jump to exactly
 * the first byte of a hooked function is taken for one: that other bytes say so by chance is less likely than one in a
 * thousand for a program of many megabytes. In aarch64 text, instructions are aligned and there is no doubt.
 *
 * The distance does not reach the agent, so each hook gets a trampoline near the text. Pages with such calls are
 * copied, changed, and moved into the place of the old ones. The kernel does that in one step, as seen by any other
 * thread, which so may be running in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/agent.h"
#include "agent/objects.h"
#include "ring/segment.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* since Linux 4.17 */
#endif

/* A place in the text that calls a hooked function. */
struct site {
    uintptr_t at; /* of the bytes to change */
    uint32_t hook;
};

struct sites {
    struct site *list;
    size_t count, capacity;
};

static bool add(struct sites *sites, uintptr_t at, int hook) {
    if (sites->count == sites->capacity) {
        size_t capacity = sites->capacity ? sites->capacity * 2 : 256;
        struct site *list = realloc(sites->list, capacity * sizeof *list);
        if (!list) {
            return false;
        }
        sites->list = list;
        sites->capacity = capacity;
    }
    sites->list[sites->count++] = (struct site){at, (uint32_t)hook};
    return true;
}

/* The hooked functions of the object and the range that they lie in, by which nearly everything is told apart. */
struct targets {
    const struct gv_statics *statics;
    uintptr_t low, high;
};

static struct targets targets_of(const struct gv_statics *statics) {
    struct targets targets = {.statics = statics, .low = UINTPTR_MAX};
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        uintptr_t at = (uintptr_t)statics->hooks[i];
        if (at) {
            targets.low = at < targets.low ? at : targets.low;
            targets.high = at > targets.high ? at : targets.high;
        }
    }
    return targets;
}

static int hook_at(const struct targets *targets, uintptr_t target) {
    if (target - targets->low > targets->high - targets->low) {
        return -1;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if ((uintptr_t)targets->statics->hooks[i] == target) {
            return i;
        }
    }
    return -1;
}

/* --- what differs by CPU --- */

#if defined(__x86_64__)
#define TRAMPOLINE_BYTES 16u
#define SITE_BYTES 4u
#define REACH (UINT64_C(0x7fff0000))

static void write_trampoline(uint8_t *out, const void *function) {
    static const uint8_t jump[6] = {0xff, 0x25}; /* jmp *0(%rip) */
    memcpy(out, jump, sizeof jump);
    memcpy(out + sizeof jump, &function, sizeof function);
}

static bool find_sites(const uint8_t *text, size_t size, const struct targets *targets, struct sites *sites) {
    for (size_t i = 0; i + 5 <= size; i++) {
        uint8_t byte = text[i];
        if (GV_LIKELY(byte != 0xe8 && byte != 0xe9 && (byte & 0xf0) != 0x80)) {
            continue;
        }
        /* Also jumps on condition: 0f 80 to 0f 8f. */
        if ((byte & 0xf0) == 0x80 && (i == 0 || text[i - 1] != 0x0f)) {
            continue;
        }
        int32_t distance;
        memcpy(&distance, text + i + 1, sizeof distance);
        int hook = hook_at(targets, (uintptr_t)(text + i + 5) + (uintptr_t)(intptr_t)distance);
        if (hook >= 0 && !add(sites, (uintptr_t)(text + i + 1), hook)) {
            return false;
        }
    }
    return true;
}

static void retarget(uint8_t *copy, uintptr_t at, uintptr_t target) {
    int32_t distance = (int32_t)(intptr_t)(target - (at + 4));
    memcpy(copy, &distance, sizeof distance);
}

#elif defined(__aarch64__)
#define TRAMPOLINE_BYTES 16u
#define SITE_BYTES 4u
#define REACH (UINT64_C(0x7ff0000))

static void write_trampoline(uint8_t *out, const void *function) {
    static const uint32_t jump[2] = {0x58000050, 0xd61f0200}; /* ldr x16, .+8; br x16 */
    memcpy(out, jump, sizeof jump);
    memcpy(out + sizeof jump, &function, sizeof function);
}

static bool find_sites(const uint8_t *text, size_t size, const struct targets *targets, struct sites *sites) {
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t word;
        memcpy(&word, text + i, sizeof word);
        if ((word & 0x7c000000u) != 0x14000000u) { /* b, bl */
            continue;
        }
        int64_t distance = (int64_t)(int32_t)(word << 6) >> 4;
        int hook = hook_at(targets, (uintptr_t)(text + i) + (uintptr_t)distance);
        if (hook >= 0 && !add(sites, (uintptr_t)(text + i), hook)) {
            return false;
        }
    }
    return true;
}

static void retarget(uint8_t *copy, uintptr_t at, uintptr_t target) {
    uint32_t word;
    memcpy(&word, copy, sizeof word);
    word = (word & 0xfc000000u) | ((uint32_t)((int64_t)(target - at) >> 2) & 0x03ffffffu);
    memcpy(copy, &word, sizeof word);
}

#else
#define TRAMPOLINE_BYTES 16u
#define SITE_BYTES 4u
#define REACH UINT64_C(0)

static void write_trampoline(uint8_t *out, const void *function) {
    (void)out, (void)function;
}
static bool find_sites(const uint8_t *text, size_t size, const struct targets *targets, struct sites *sites) {
    (void)text, (void)size, (void)targets, (void)sites;
    return true;
}
static void retarget(uint8_t *copy, uintptr_t at, uintptr_t target) {
    (void)copy, (void)at, (void)target;
}
#endif

/* --- trampolines --- */

/* Memory from which every byte of the object's text can be reached, and back: below it if there is room, so as to stay
 * out of the way of the heap. */
static uint8_t *near_memory(const struct gv_object *object, size_t size) {
    const uintptr_t step = 1u << 16;
    uintptr_t lowest = object->high > REACH ? object->high - REACH : step;
    uintptr_t highest = object->low + REACH;
    for (int above = 0; above < 2; above++) {
        uintptr_t at = above ? (object->high + step) & ~(step - 1) : (object->low - step) & ~(step - 1);
        for (int tries = 0; tries < 4096 && at >= lowest && at + size < highest; tries++) {
            void *got = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            if (got == (void *)at) {
                return got;
            }
            if (got != MAP_FAILED) {
                munmap(got, size); /* an old kernel takes the address for a wish */
            }
            at = above ? at + step : at - step;
        }
    }
    return NULL;
}

static uint8_t *make_trampolines(const struct gv_object *object, const struct gv_statics *statics) {
    size_t size = (GV_HOOK_COUNT * TRAMPOLINE_BYTES + GV_PAGE - 1) / GV_PAGE * GV_PAGE;
    uint8_t *memory = near_memory(object, size);
    if (!memory) {
        return NULL;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (statics->hooks[i]) {
            write_trampoline(memory + i * TRAMPOLINE_BYTES, gv_hook_functions[i]);
        }
    }
    __builtin___clear_cache((char *)memory, (char *)memory + size);
    if (mprotect(memory, size, PROT_READ | PROT_EXEC) != 0) {
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

/* --- changing the text --- */

static uintptr_t page_of(uintptr_t address) {
    return address & ~(uintptr_t)(GV_PAGE - 1);
}

/* Changes sites[0..count), which lie in the pages from `first` up to `end`, all at once. */
static int move_in(const struct site *sites, size_t count, uintptr_t first, uintptr_t end, const uint8_t *trampolines) {
    size_t size = end - first;
    uint8_t *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) {
        return -errno;
    }
    memcpy(copy, (const void *)first, size);
    for (size_t i = 0; i < count; i++) {
        retarget(copy + (sites[i].at - first), sites[i].at, (uintptr_t)trampolines + sites[i].hook * TRAMPOLINE_BYTES);
    }
    __builtin___clear_cache((char *)copy, (char *)copy + size);
    if (mprotect(copy, size, PROT_READ | PROT_EXEC) != 0 ||
        mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)first) == MAP_FAILED) {
        int error = -errno;
        munmap(copy, size);
        return error;
    }
    return 0;
}

static int change(const struct sites *sites, const uint8_t *trampolines, struct gv_statics *statics) {
    int changed = 0;
    for (size_t i = 0; i < sites->count;) {
        uintptr_t first = page_of(sites->list[i].at), end = first;
        size_t after = i;
        /* A call that lies across two pages takes both, and with them their other calls. */
        while (after < sites->count && (end == first || sites->list[after].at < end)) {
            end = page_of(sites->list[after].at + SITE_BYTES - 1) + GV_PAGE;
            after++;
        }
        int error = move_in(&sites->list[i], after - i, first, end, trampolines);
        if (error) {
            return changed ? changed : error;
        }
        for (; i < after; i++, changed++) {
            statics->patched[sites->list[i].hook] = true;
        }
    }
    return changed;
}

int gv_callsites_patch(const struct gv_object *object, struct gv_statics *statics) {
    struct targets targets = targets_of(statics);
    struct sites sites = {0};
    bool good = true;
    for (uint32_t i = 0; good && i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            good = find_sites((const uint8_t *)(object->bias + p->p_vaddr), p->p_filesz, &targets, &sites);
        }
    }
    int result = good ? 0 : -ENOMEM;
    if (good && sites.count) {
        uint8_t *trampolines = make_trampolines(object, statics);
        result = trampolines ? change(&sites, trampolines, statics) : -ENOMEM;
    }
    free(sites.list);
    return result;
}
