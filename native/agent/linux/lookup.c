/* Finding functions as the dynamic linker does for an object. */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/linux/objects.h"
#include "agent/loader.h"

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));
const char *gv_own_low = __ehdr_start, *gv_own_high = _end;

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};
static const char *const api_names[] = {GV_APIS(NAME_OF)};

struct search_at {
    uintptr_t address;
    struct gv_object object;
};

static int is_at(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct search_at *search = context;
    gv_object_of(info, &search->object);
    return search->address >= search->object.low && search->address < search->object.high;
}

static bool find_object(const void *address, struct gv_object *object) {
    struct search_at search = {.address = (uintptr_t)address};
    bool found = dl_iterate_phdr(is_at, &search);
    *object = search.object;
    return found;
}

bool gv_object_extent(const void *address, struct gv_extent *extent) {
    struct gv_object object;
    bool found = find_object(address, &object);
    *extent = (struct gv_extent){object.low, object.high};
    return found;
}

bool gv_object_path(const void *address, char *out, size_t capacity) {
    Dl_info info;
    if (!dladdr(address, &info)) {
        return false;
    }
    snprintf(out, capacity, "%s", info.dli_fname ? info.dli_fname : "");
    return true;
}

static bool is_ours(const void *address) {
    return (const char *)address >= gv_own_low && (const char *)address < gv_own_high;
}

/* The program, and what all objects share with it. Never closed: that is counted as a library's end. */
static void *program(void) {
    static void *_Atomic handle; /* relaxed: nothing is reached through it without the dynamic linker's lock */
    void *known = atomic_load_explicit(&handle, memory_order_relaxed);
    if (!known) {
        known = dlopen(NULL, RTLD_LAZY);
        atomic_store_explicit(&handle, known, memory_order_relaxed);
    }
    return known;
}

/* Looks `name` up as the dynamic linker does for the object behind `handle` (NULL: the program itself): first what
 * all objects share, then the object and what it depends on. */
static void *look_up(void *handle, const char *name) {
    void *address = dlsym(RTLD_DEFAULT, name);
    if (is_ours(address)) {
        /* This library defines the hooked names itself, and is skipped. Preloaded, it is one of those that all share;
         * else it only finds itself first, because its own names are bound to itself. */
        address = gv_attached ? dlsym(program(), name) : dlsym(RTLD_NEXT, name);
    }
    if (!address && handle) {
        address = dlsym(handle, name);
    }
    return is_ours(address) ? NULL : address;
}

static int (*next_dlclose(void))(void *) {
    static int (*original)(void *);
    if (!original) {
        *(void **)&original = look_up(NULL, "dlclose");
    }
    return original;
}

static void close_handle(void *handle) {
    if (handle && next_dlclose()) {
        next_dlclose()(handle);
    }
}

struct search {
    const char *name;
    void *address;
};

static int search_object(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct search *search = context;
    struct gv_object object;
    gv_object_of(info, &object);
    void *handle = object.is_program ? NULL : dlopen(object.path, RTLD_LAZY | RTLD_NOLOAD);
    void *address = handle ? dlsym(handle, search->name) : NULL;
    close_handle(handle);
    search->address = address && !is_ours(address) ? address : NULL;
    return search->address != NULL;
}

void *gv_original_anywhere(enum gv_hook hook) {
    struct search search = {.name = hook_names[hook]};
    dl_iterate_phdr(search_object, &search);
    return search.address ? search.address : gv_statics_anywhere(hook);
}

/* A handle of the object that contains `address`; NULL for the program itself. */
static void *handle_of(const void *address) {
    struct gv_object object;
    bool library = find_object(address, &object) && !object.is_program;
    return library ? dlopen(object.path, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

void gv_object_originals(const void *address, uintptr_t low, void *originals[GV_HOOK_COUNT]) {
    const struct gv_statics *own = gv_statics_at(low);
    void *handle = handle_of(address);
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        originals[i] = look_up(handle, hook_names[i]);
        /* A direct call has no choice. */
        if (own && own->hooks[i] && (own->patched[i] || !originals[i])) {
            originals[i] = own->hooks[i];
        }
    }
    close_handle(handle);
}

/* The object's own copy of ggml, else what the dynamic linker has, else what another has for itself. */
void gv_object_apis(const void *address, uintptr_t low, void *apis[GV_API_COUNT]) {
    const struct gv_statics *statics = gv_statics_at(low);
    if (!statics || !statics->apis[GV_API_ggml_init]) {
        void *handle = handle_of(address);
        for (int i = 0; i < GV_API_COUNT; i++) {
            apis[i] = look_up(handle, api_names[i]);
        }
        close_handle(handle);
        statics = apis[GV_API_ggml_init] ? NULL : gv_statics_with(GV_API_ggml_init);
    }
    if (statics) {
        memcpy(apis, statics->apis, sizeof statics->apis);
    }
}

static int count_unloads(struct dl_phdr_info *info, size_t size, void *context) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        *(unsigned long long *)context = info->dlpi_subs;
    }
    return 1;
}

/* A library that is unloaded may take originals with it, and another may come to lie in its place. */
__attribute__((visibility("default"))) int dlclose(void *handle) {
    static _Atomic unsigned long long known_unloads;
    int (*original)(void *) = next_dlclose();
    int result = original ? original(handle) : -1;
    unsigned long long unloads = 0;
    dl_iterate_phdr(count_unloads, &unloads);
    if (atomic_exchange(&known_unloads, unloads) != unloads) {
        atomic_fetch_add(&gv_generation, 1);
    }
    return result;
}
