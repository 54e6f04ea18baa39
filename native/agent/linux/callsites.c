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
#include "agent/linux/objects.h"
#include "platform/platform.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* since Linux 4.17 */
#endif

/* A place in the text that calls a hooked function. */
struct site {
    uintptr_t at;    /* of the bytes to change */
    uint32_t target; /* number of its trampoline */
};

struct sites {
    struct site *list;
    size_t count, capacity;
};

static bool add(struct sites *sites, uintptr_t at, int target) {
    if (sites->count == sites->capacity) {
        size_t capacity = sites->capacity ? sites->capacity * 2 : 256;
        struct site *list = realloc(sites->list, capacity * sizeof *list);
        if (!list) {
            return false;
        }
        sites->list = list;
        sites->capacity = capacity;
    }
    sites->list[sites->count++] = (struct site){at, (uint32_t)target};
    return true;
}

/* Functions whose calls are looked for, and the range that they lie in, by which nearly everything is told apart. */
struct targets {
    void *const *list;
    uint32_t count, first; /* number of the first one's trampoline */
    uintptr_t low, high;
};

static struct targets targets_of(void *const *list, uint32_t count, uint32_t first) {
    struct targets targets = {.list = list, .count = count, .first = first, .low = UINTPTR_MAX};
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t at = (uintptr_t)list[i];
        if (at) {
            targets.low = at < targets.low ? at : targets.low;
            targets.high = at > targets.high ? at : targets.high;
        }
    }
    return targets;
}

static int target_at(const struct targets *targets, uintptr_t address) {
    if (address - targets->low > targets->high - targets->low) {
        return -1;
    }
    for (uint32_t i = 0; i < targets->count; i++) {
        if ((uintptr_t)targets->list[i] == address) {
            return (int)(targets->first + i);
        }
    }
    return -1;
}

/* --- what differs by CPU --- */

#if defined(__x86_64__)
#define TRAMPOLINE_BYTES 32u
#define SITE_BYTES 4u
#define REACH (UINT64_C(0x7fff0000))

/* Goes on at `function`; with `original` as its sixth argument, unless that is NULL. */
static void write_trampoline(uint8_t *out, const void *function, const void *original) {
    static const uint8_t load[2] = {0x49, 0xb9}; /* movabs $original, %r9 */
    static const uint8_t jump[6] = {0xff, 0x25}; /* jmp *0(%rip) */
    if (original) {
        memcpy(out, load, sizeof load);
        memcpy(out + sizeof load, &original, sizeof original);
        out += sizeof load + sizeof original;
    }
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
        int target = target_at(targets, (uintptr_t)(text + i + 5) + (uintptr_t)(intptr_t)distance);
        if (target >= 0 && !add(sites, (uintptr_t)(text + i + 1), target)) {
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
#define TRAMPOLINE_BYTES 32u
#define SITE_BYTES 4u
#define REACH (UINT64_C(0x7ff0000))

/* Goes on at `function`; with `original` as its sixth argument, unless that is NULL. */
static void write_trampoline(uint8_t *out, const void *function, const void *original) {
    /* ldr x16, .+16; ldr x5, .+20 (or nop); br x16; nop */
    const uint32_t jump[4] = {0x58000090, original ? 0x580000a5 : 0xd503201f, 0xd61f0200, 0xd503201f};
    memcpy(out, jump, sizeof jump);
    memcpy(out + sizeof jump, &function, sizeof function);
    memcpy(out + sizeof jump + sizeof function, &original, sizeof original);
}

static bool find_sites(const uint8_t *text, size_t size, const struct targets *targets, struct sites *sites) {
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t word;
        memcpy(&word, text + i, sizeof word);
        if ((word & 0x7c000000u) != 0x14000000u) { /* b, bl */
            continue;
        }
        int64_t distance = (int64_t)(int32_t)(word << 6) >> 4;
        int target = target_at(targets, (uintptr_t)(text + i) + (uintptr_t)distance);
        if (target >= 0 && !add(sites, (uintptr_t)(text + i), target)) {
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
    size_t page = gv_page_bytes();
    size_t size = ((GV_HOOK_COUNT + statics->kernel_count) * TRAMPOLINE_BYTES + page - 1) / page * page;
    uint8_t *memory = near_memory(object, size);
    if (!memory) {
        return NULL;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (statics->hooks[i]) {
            write_trampoline(memory + i * TRAMPOLINE_BYTES, gv_hook_functions[i], NULL);
        }
    }
    for (uint32_t i = 0; i < statics->kernel_count; i++) {
        write_trampoline(memory + (GV_HOOK_COUNT + i) * TRAMPOLINE_BYTES, (void *)gv_kernel, statics->kernels[i]);
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
    return address & ~(uintptr_t)(gv_page_bytes() - 1);
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
        retarget(copy + (sites[i].at - first), sites[i].at,
                 (uintptr_t)trampolines + sites[i].target * TRAMPOLINE_BYTES);
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
            end = page_of(sites->list[after].at + SITE_BYTES - 1) + gv_page_bytes();
            after++;
        }
        int error = move_in(&sites->list[i], after - i, first, end, trampolines);
        if (error) {
            return changed ? changed : error;
        }
        for (; i < after; i++) {
            if (sites->list[i].target < GV_HOOK_COUNT) {
                statics->patched[sites->list[i].target] = true;
                changed++;
            }
        }
    }
    return changed;
}

static int by_place(const void *a, const void *b) {
    const struct site *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Calls of kernels in the function that chooses among them, which is the one that calls the choke point. Elsewhere,
 * what is called by a kernel's name may take more arguments than a kernel does. */
static bool add_kernels(const struct gv_object *object, const struct gv_statics *statics, struct sites *sites) {
    struct targets kernels = targets_of(statics->kernels, statics->kernel_count, GV_HOOK_COUNT);
    size_t count = sites->count;
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        uintptr_t low, high;
        if (sites->list[i].target == GV_HOOK_ggml_cpu_extra_compute_forward &&
            gv_statics_function(object, sites->list[i].at, &low, &high)) {
            good = find_sites((const uint8_t *)low, high - low, &kernels, sites);
            break;
        }
    }
    if (sites->count > count) {
        qsort(sites->list, sites->count, sizeof *sites->list, by_place);
    }
    return good;
}

int gv_callsites_patch(const struct gv_object *object, struct gv_statics *statics) {
    struct targets hooks = targets_of(statics->hooks, GV_HOOK_COUNT, 0);
    struct sites sites = {0};
    bool good = true;
    for (uint32_t i = 0; good && i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            good = find_sites((const uint8_t *)(object->bias + p->p_vaddr), p->p_filesz, &hooks, &sites);
        }
    }
    good = good && add_kernels(object, statics, &sites);
    int result = good ? 0 : -ENOMEM;
    if (good && sites.count) {
        uint8_t *trampolines = make_trampolines(object, statics);
        result = trampolines ? change(&sites, trampolines, statics) : -ENOMEM;
    }
    free(sites.list);
    return result;
}
