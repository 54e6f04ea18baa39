/* The loaded objects, and which of them have been taken in. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/agent.h"
#include "agent/linux/objects.h"

#define KNOWN 1024u
#define STATICS 16u

#define DECLARE(name) extern void name(void);
GV_HOOKS(DECLARE)
#define FUNCTION(name) (void *)name,
void *const gv_hook_functions[GV_HOOK_COUNT] = {GV_HOOKS(FUNCTION)};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long long seen_adds, seen_subs;
static struct {
    uintptr_t low, high;
} known[KNOWN];
static uint32_t known_count;

/* Read without the lock: an entry is complete before it is counted, but for what is atomic, and none is removed. */
static struct gv_statics statics[STATICS];
static _Atomic uint32_t statics_count;

bool gv_object_of(const struct dl_phdr_info *info, struct gv_object *object) {
    /* glibc has no name for the program, musl the one that it was started by. */
    bool is_program = !info->dlpi_name[0] || (uintptr_t)info->dlpi_phdr == getauxval(AT_PHDR);
    *object = (struct gv_object){
        .path = is_program ? "/proc/self/exe" : info->dlpi_name,
        .bias = info->dlpi_addr,
        .low = UINTPTR_MAX,
        .segments = info->dlpi_phdr,
        .segment_count = info->dlpi_phnum,
        .is_program = is_program,
    };
    for (uint32_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        if (p->p_type == PT_LOAD) {
            uintptr_t from = object->bias + p->p_vaddr, to = from + p->p_memsz;
            object->low = from < object->low ? from : object->low;
            object->high = to > object->high ? to : object->high;
        }
    }
    return object->path[0] == '/' && object->low < object->high;
}

const struct gv_statics *gv_statics_at(uintptr_t low) {
    uint32_t count = atomic_load_explicit(&statics_count, memory_order_acquire);
    for (uint32_t i = count; i-- > 0;) {
        if (statics[i].low == low) {
            return &statics[i];
        }
    }
    return NULL;
}

void *gv_statics_anywhere(enum gv_hook hook) {
    uint32_t count = atomic_load_explicit(&statics_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (statics[i].hooks[hook]) {
            return statics[i].hooks[hook];
        }
    }
    return NULL;
}

const struct gv_statics *gv_statics_with(enum gv_api api) {
    uint32_t count = atomic_load_explicit(&statics_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (statics[i].apis[api]) {
            return &statics[i];
        }
    }
    return NULL;
}

static void take_in_statics(const struct gv_object *object) {
    uint32_t count = atomic_load_explicit(&statics_count, memory_order_relaxed);
    const struct gv_statics *before = gv_statics_at(object->low);
    if (count == STATICS || !gv_statics_read(object, &statics[count])) {
        return;
    }
    struct gv_statics *found = &statics[count];
    if (before && memcmp(before->hooks, found->hooks, sizeof found->hooks) == 0) {
        return; /* still the same object, and its calls lead here already */
    }
    /* Before the first call of it leads here: another thread may come that way at once, and ask for its original. */
    atomic_store_explicit(&statics_count, count + 1, memory_order_release);
    atomic_fetch_add(&gv_generation, 1);
    atomic_store(&found->sites, gv_callsites_patch(object, found));
    atomic_fetch_add(&gv_generation, 1);
}

static bool is_known(const struct gv_object *object) {
    for (uint32_t i = 0; i < known_count; i++) {
        if (known[i].low == object->low && known[i].high == object->high) {
            return true;
        }
    }
    if (known_count < KNOWN) {
        known[known_count].low = object->low;
        known[known_count++].high = object->high;
    }
    return false;
}

static bool is_agent(const struct gv_object *object) {
    return (uintptr_t)gv_hook_functions[0] - object->low < object->high - object->low;
}

static int count_changes(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    unsigned long long *changes = context;
    changes[0] = info->dlpi_adds;
    changes[1] = info->dlpi_subs;
    return 1;
}

static int visit(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    bool bound = *(const bool *)context;
    struct gv_object object;
    if (!gv_object_of(info, &object) || is_agent(&object) || is_known(&object)) {
        return 0;
    }
    take_in_statics(&object);
    if (bound) {
        gv_got_patch(&object);
    }
    return 0;
}

void gv_objects_take_in(bool bound) {
    unsigned long long changes[2] = {0};
    pthread_mutex_lock(&lock);
    dl_iterate_phdr(count_changes, changes);
    if (changes[0] != seen_adds || changes[1] != seen_subs) {
        if (changes[1] != seen_subs) {
            known_count = 0; /* another object may lie where one was */
        }
        seen_adds = changes[0];
        seen_subs = changes[1];
        dl_iterate_phdr(visit, &bound);
    }
    pthread_mutex_unlock(&lock);
}

void gv_objects_forget(void) {
    pthread_mutex_lock(&lock);
    known_count = 0;
    seen_adds = 0;
    pthread_mutex_unlock(&lock);
}

void gv_objects_define(void) {
    uint32_t count = atomic_load_explicit(&statics_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        char text[512];
        if (statics[i].sites >= 0) {
            snprintf(text, sizeof text,
                     "ggml is linked into %s: its functions were found by the symbol table, and %d "
                     "direct calls of them are watched",
                     statics[i].path, statics[i].sites);
            gv_define_note(GV_NOTE_INFO, text);
        } else {
            snprintf(text, sizeof text, "direct calls of ggml inside %s: its code could not be changed (%s)",
                     statics[i].path, strerror(-statics[i].sites));
            gv_define_note(GV_NOTE_NOT_SEEN, text);
        }
    }
}

void gv_objects_after_fork(void) {
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
