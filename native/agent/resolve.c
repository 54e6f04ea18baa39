/* Which original a hooked call belongs to.
 *
 * A preloaded library sees the calls of every object in the process, also of objects that were loaded with
 * RTLD_LOCAL, renamed, or twice. The original of a call is the definition that the calling object itself would
 * have bound to: found through the object that contains the return address, and remembered for it. */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/objects.h"

#define IMAGES 128u
#define RUNTIMES 16u

_Atomic uint32_t gv_generation = 1;

static pthread_mutex_t image_lock = PTHREAD_MUTEX_INITIALIZER, runtime_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gv_image images[IMAGES];
static _Atomic uint32_t image_count;
static struct gv_runtime runtimes[RUNTIMES];
static uint32_t runtime_count;

GV_THREAD_LOCAL const struct gv_image *last_image;
__thread const void *gv_calling __attribute__((tls_model("initial-exec")));

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};
static const char *const api_names[] = {GV_APIS(NAME_OF)};

struct extent {
    uintptr_t address, low, high;
};

static int find_extent(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct extent *extent = context;
    struct gv_object object;
    gv_object_of(info, &object);
    if (extent->address < object.low || extent->address >= object.high) {
        return 0;
    }
    extent->low = object.low;
    extent->high = object.high;
    return 1;
}

static inline bool is_ours(const void *address) {
    return (const char *)address >= __ehdr_start && (const char *)address < _end;
}

/* The program, and what all objects share with it. Never closed: that is counted as a library's end. */
static void *program(void) {
    static void *_Atomic handle;
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
    void *handle = info->dlpi_name[0] ? dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
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
    Dl_info info;
    struct link_map *map = NULL;
    if (dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) && map && map->l_name && map->l_name[0]) {
        return dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
    }
    return NULL;
}

static void resolve(struct gv_image *image, const void *address, uint32_t generation) {
    memset(image, 0, sizeof *image);
    struct extent extent = {.address = (uintptr_t)address};
    dl_iterate_phdr(find_extent, &extent);
    image->low = extent.low;
    image->size = extent.high - extent.low;
    image->generation = generation;
    image->address = address;
    const struct gv_statics *own = gv_statics_at(image->low);
    void *handle = handle_of(address);
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        image->originals[i] = look_up(handle, hook_names[i]);
        /* A direct call has no choice. */
        if (own && own->hooks[i] && (own->patched[i] || !image->originals[i])) {
            image->originals[i] = own->hooks[i];
        }
    }
    close_handle(handle);
}

static struct gv_runtime no_runtime;

/* All from one copy of ggml: the image's own, else what the dynamic linker has, else what another has for itself. */
static void find_apis(const struct gv_image *image, void *apis[GV_API_COUNT]) {
    const struct gv_statics *statics = gv_statics_at(image->low);
    if (!statics || !statics->apis[GV_API_ggml_init]) {
        void *handle = handle_of(image->address);
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

/* Whether two may be one copy of ggml: not every object that calls it sees all of it. */
static bool agree(const struct gv_runtime *a, const struct gv_runtime *b) {
    for (int i = 0; i < GV_API_COUNT; i++) {
        if (a->apis[i] && b->apis[i] && a->apis[i] != b->apis[i]) {
            return false;
        }
    }
    return true;
}

static struct gv_runtime *find_runtime(const struct gv_image *image) {
    struct gv_runtime probed = {.generation = image->generation};
    find_apis(image, probed.apis);
    Dl_info base = {0};
    if (!probed.apis[GV_API_ggml_init] || !dladdr(probed.apis[GV_API_ggml_init], &base)) {
        return &no_runtime;
    }
    struct gv_runtime *known = NULL;
    for (uint32_t i = 0; i < runtime_count; i++) {
        if (runtimes[i].apis[GV_API_ggml_init] == probed.apis[GV_API_ggml_init]) {
            known = &runtimes[i];
        }
    }
    if (known && known->generation == image->generation) {
        return known;
    }
    strncpy(probed.path, base.dli_fname ? base.dli_fname : "", sizeof probed.path - 1);
    bool seen_alike = known && memcmp(known->apis, probed.apis, sizeof probed.apis) == 0;
    bool same = known && strcmp(known->path, probed.path) == 0 && agree(known, &probed);
    if (!same || seen_alike) {
        gv_probe(&probed);
        same = same && memcmp(&known->layout, &probed.layout, sizeof probed.layout) == 0;
    }
    if (same) {
        /* Still the same: other threads may be reading it. */
        atomic_store(&known->generation, image->generation);
        return known;
    }
    if (!known) {
        if (runtime_count == RUNTIMES) {
            return &no_runtime;
        }
        known = &runtimes[runtime_count++];
    }
    memcpy(known, &probed, sizeof probed);
    return known;
}

struct gv_runtime *gv_image_runtime(const struct gv_image *image) {
    struct gv_runtime *runtime = atomic_load_explicit(&image->runtime, memory_order_acquire);
    if (GV_UNLIKELY(!runtime)) {
        if (gv_inside || !image->size) {
            return NULL; /* asked by the probe itself */
        }
        /* Apart from the images' lock: probing calls ggml, whose calls are hooked. */
        pthread_mutex_lock(&runtime_lock);
        runtime = find_runtime(image);
        atomic_store_explicit(&((struct gv_image *)image)->runtime, runtime, memory_order_release);
        pthread_mutex_unlock(&runtime_lock);
    }
    return runtime == &no_runtime ? NULL : runtime;
}

static bool is_loaded(const struct gv_image *image) {
    struct extent extent = {.address = image->low};
    return dl_iterate_phdr(find_extent, &extent) && extent.low == image->low;
}

/* A slot for `image`: its own from before, or one whose object is gone. A thread may still be using any other. */
static struct gv_image *slot_for(const struct gv_image *image, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (images[i].low == image->low) {
            return &images[i];
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (images[i].generation != image->generation && !is_loaded(&images[i])) {
            return &images[i];
        }
    }
    return count < IMAGES ? &images[count] : NULL;
}

static bool is_same(const struct gv_image *a, const struct gv_image *b) {
    return a->low == b->low && a->size == b->size && memcmp(a->originals, b->originals, sizeof a->originals) == 0;
}

static const struct gv_image *find_slow(const void *address) {
    static const struct gv_image nobody;
    uintptr_t at = (uintptr_t)address;
    pthread_mutex_lock(&image_lock);
    uint32_t generation = atomic_load(&gv_generation);
    uint32_t count = atomic_load(&image_count);
    for (uint32_t i = 0; i < count; i++) {
        if (images[i].generation == generation && at - images[i].low < images[i].size) {
            pthread_mutex_unlock(&image_lock);
            return &images[i];
        }
    }
    struct gv_image found;
    resolve(&found, address, generation);
    struct gv_image *slot = slot_for(&found, count);
    if (slot && slot != &images[count] && is_same(slot, &found)) {
        /* Other threads may be using it: nothing changes that they read. */
        atomic_store(&slot->runtime, NULL);
        atomic_store(&slot->generation, generation);
    } else if (slot) {
        memcpy(slot, &found, sizeof found);
        if (slot == &images[count]) {
            atomic_store(&image_count, count + 1);
        }
    }
    pthread_mutex_unlock(&image_lock);
    return slot ? slot : &nobody;
}

const struct gv_image *gv_image_find(const void *address) {
    const struct gv_image *image = last_image;
    if (GV_UNLIKELY(is_ours(address))) {
        address = gv_calling;
    }
    if (GV_LIKELY(image && (uintptr_t)address - image->low < image->size &&
                  image->generation == atomic_load_explicit(&gv_generation, memory_order_relaxed))) {
        return image;
    }
    image = find_slow(address);
    last_image = image->size ? image : NULL;
    return image;
}

void gv_resolve_after_fork(void) {
    image_lock = runtime_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (uint32_t i = 0; i < runtime_count; i++) {
        runtimes[i].number = 0;
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
