/* The loaded images: the dynamic linker tells of each, before anything in it runs, and of its end.
 *
 * The dynamic linker holds locks of its own while it tells, so it is never asked anything under ours. */
#include <dlfcn.h>
#include <mach-o/dyld.h>
#include <mach/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/loader.h"
#include "agent/macos/images.h"

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};
static const char *const api_names[] = {GV_APIS(NAME_OF)};

const char *gv_own_low, *gv_own_high;

/* An image that has been rebound. */
struct taken {
    struct taken *next;
    uintptr_t low;
    void *originals[GV_HOOK_COUNT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct taken *taken;

/* --- what the dynamic linker tells --- */

/* System libraries have no ggml and are many; pointers of arm64e are signed, and left alone. */
static bool is_of_interest(const struct mach_header *header) {
    bool is_signed = header->cputype == CPU_TYPE_ARM64 &&
                     (header->cpusubtype & ~(cpu_subtype_t)CPU_SUBTYPE_MASK) == CPU_SUBTYPE_ARM64E;
    return !(header->flags & GV_MACHO_IN_CACHE) && !is_signed && (const char *)header != gv_own_low;
}

static void added(const struct mach_header *header, intptr_t slide) {
    (void)slide;
    struct gv_macho image;
    struct taken *entry;
    if (!is_of_interest(header) || !gv_macho_open(&image, header, 0, true) || !(entry = calloc(1, sizeof *entry))) {
        return;
    }
    entry->low = (uintptr_t)header;
    /* A call that comes through a pointer that was just replaced waits until all originals are known. */
    pthread_mutex_lock(&lock);
    entry->next = taken;
    taken = entry;
    gv_rebind(&image, entry->originals);
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&gv_generation, 1);
}

static void removed(const struct mach_header *header, intptr_t slide) {
    (void)slide;
    pthread_mutex_lock(&lock);
    struct taken **at = &taken, *gone;
    while (*at && (*at)->low != (uintptr_t)header) {
        at = &(*at)->next;
    }
    gone = *at;
    if (gone) {
        *at = gone->next;
    }
    pthread_mutex_unlock(&lock);
    free(gone);
    atomic_fetch_add(&gv_generation, 1);
}

static void watch(void) {
    struct gv_extent own;
    if (!gv_object_extent((const void *)watch, &own)) {
        return;
    }
    gv_own_low = (const char *)own.low;
    gv_own_high = (const char *)own.high;
    _dyld_register_func_for_remove_image(removed);
    _dyld_register_func_for_add_image(added); /* and of those that are there */
}

void gv_objects_take_in(bool bound) {
    (void)bound; /* they always are */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch);
}

void gv_objects_forget(void) {
}

void gv_objects_define(void) {
    gv_define_note(GV_NOTE_NOT_SEEN,
                   "calls of ggml's functions inside the library that defines them: nodes are seen only "
                   "one by one on request (per_node_sync), or as a whole");
}

void gv_objects_after_fork(void) {
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* --- looking up --- */

static bool image_at(const void *address, Dl_info *info, struct gv_macho *image) {
    return dladdr(address, info) && info->dli_fbase && gv_macho_open(image, info->dli_fbase, 0, true);
}

bool gv_object_extent(const void *address, struct gv_extent *extent) {
    Dl_info info;
    struct gv_macho image;
    *extent = (struct gv_extent){0};
    if (!image_at(address, &info, &image)) {
        return false;
    }
    extent->low = (uintptr_t)image.base;
    extent->high = extent->low + (uintptr_t)(image.high - image.low);
    return true;
}

bool gv_object_path(const void *address, char *out, size_t capacity) {
    Dl_info info;
    if (!dladdr(address, &info)) {
        return false;
    }
    snprintf(out, capacity, "%s", info.dli_fname ? info.dli_fname : "");
    return true;
}

/* A handle of the image that contains `address`; of the program itself, one that leads to all images. */
static void *handle_of(const void *address) {
    Dl_info info;
    struct gv_macho image;
    if (!image_at(address, &info, &image)) {
        return NULL;
    }
    return dlopen(image.file_type == GV_MACHO_EXECUTE ? NULL : info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

static void close_handle(void *handle) {
    if (handle) {
        dlclose(handle);
    }
}

static bool recorded(uintptr_t low, void *originals[GV_HOOK_COUNT]) {
    pthread_mutex_lock(&lock);
    const struct taken *entry = taken;
    while (entry && entry->low != low) {
        entry = entry->next;
    }
    if (entry) {
        memcpy(originals, entry->originals, sizeof entry->originals);
    }
    pthread_mutex_unlock(&lock);
    return entry != NULL;
}

static const char *leaf(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The loaded image that was linked by this name. */
static const struct mach_header *find_library(const char *name) {
    const struct mach_header *alike = NULL;
    for (uint32_t i = 0; i < _dyld_image_count(); i++) {
        const struct mach_header *header = _dyld_get_image_header(i);
        const char *path = _dyld_get_image_name(i);
        struct gv_macho image;
        if (!header || !path || !is_of_interest(header) || !gv_macho_open(&image, header, 0, true)) {
            continue;
        }
        const char *own = gv_macho_library(&image, GV_MACHO_SELF);
        if (strcmp(path, name) == 0 || (own && strcmp(own, name) == 0)) {
            return header;
        }
        if (strcmp(leaf(path), leaf(name)) == 0) {
            alike = header; /* by a path that the dynamic linker has made of it */
        }
    }
    return alike;
}

struct search {
    const struct gv_macho *image;
    void *handle; /* of the image */
    void **originals;
};

/* What a call that is not bound yet would be bound to: of the library that the image names for it. */
static void look_up(const struct gv_macho_import *import, void *context) {
    const struct search *search = context;
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (search->originals[i] || strcmp(import->name, hook_names[i]) != 0) {
            continue;
        }
        const char *library = import->library > 0 ? gv_macho_library(search->image, import->library) : NULL;
        const struct mach_header *found = library ? find_library(library) : NULL;
        void *handle = found ? handle_of(found) : NULL;
        search->originals[i] = dlsym(handle ? handle : search->handle, hook_names[i]);
        close_handle(handle);
    }
}

void gv_object_originals(const void *address, uintptr_t low, void *originals[GV_HOOK_COUNT]) {
    memset(originals, 0, GV_HOOK_COUNT * sizeof *originals);
    struct gv_macho image;
    if (!recorded(low, originals) || !gv_macho_open(&image, (const void *)low, 0, true)) {
        return;
    }
    struct search search = {&image, handle_of(address), originals};
    if (search.handle) {
        gv_macho_imports(&image, look_up, &search);
        close_handle(search.handle);
    }
}

void *gv_original_anywhere(enum gv_hook hook) {
    void *original = NULL;
    pthread_mutex_lock(&lock);
    for (const struct taken *entry = taken; entry && !original; entry = entry->next) {
        original = entry->originals[hook];
    }
    pthread_mutex_unlock(&lock);
    return original;
}

/* The image and what it depends on, else the library that one of its calls leads to. */
void gv_object_apis(const void *address, uintptr_t low, void *apis[GV_API_COUNT]) {
    void *originals[GV_HOOK_COUNT] = {0}, *handle = handle_of(address);
    gv_object_originals(address, low, originals);
    for (int i = -1; i < GV_HOOK_COUNT && !(handle && dlsym(handle, "ggml_init")); i++) {
        if (i >= 0 && originals[i]) {
            close_handle(handle);
            handle = handle_of(originals[i]);
        }
    }
    for (int i = 0; i < GV_API_COUNT; i++) {
        apis[i] = handle ? dlsym(handle, api_names[i]) : NULL;
    }
    close_handle(handle);
    /* Each thread calls it for each node, but inside one library, where no call is seen: as good as not there. */
    apis[GV_API_ggml_cpu_extra_compute_forward] = NULL;
}
