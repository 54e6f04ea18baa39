/* Which original a hooked call belongs to.
 *
 * A preloaded library sees the calls of every object in the process, also of objects that were loaded with
 * RTLD_LOCAL, renamed, or twice. The original of a call is the definition that the calling object itself would
 * have bound to: found through the object that contains the return address, and remembered for it. */
#include <string.h>

#include "agent/agent.h"
#include "agent/loader.h"

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

static inline bool is_ours(const void *address) {
    return (const char *)address >= gv_own_low && (const char *)address < gv_own_high;
}

static void resolve(struct gv_image *image, const void *address, uint32_t generation) {
    memset(image, 0, sizeof *image);
    struct gv_extent extent = {0};
    gv_object_extent(address, &extent);
    image->low = extent.low;
    image->size = extent.high - extent.low;
    image->generation = generation;
    image->address = address;
    gv_object_originals(address, extent.low, image->originals);
}

static struct gv_runtime no_runtime;

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
    gv_object_apis(image->address, image->low, probed.apis);
    if (!probed.apis[GV_API_ggml_init] ||
        !gv_object_path(probed.apis[GV_API_ggml_init], probed.path, sizeof probed.path)) {
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
    struct gv_extent extent;
    return gv_object_extent((const void *)image->low, &extent) && extent.low == image->low;
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
