/* Rebinding: each call from one image to another goes through a pointer that the dynamic linker has filled in, which is
 * replaced by one to the agent's function. This catches images present at launch and images loaded later alike, which
 * an `__interpose` section does not; and what stood there before is the original, exactly as this image was to have it.
 *
 * Calls inside one image go through no pointer, and are not seen. */
#include <mach/mach.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/macos/images.h"

#define DECLARE(name) extern void name(void);
GV_HOOKS(DECLARE)
static const struct {
    const char *name;
    void *function;
} hooks[GV_HOOK_COUNT] = {
#define ENTRY(name) {#name, (void *)name},
    GV_HOOKS(ENTRY)};

static const struct {
    const char *name;
    void *function;
} exits[] = {
    {"_exit", (void *)_exit},   {"_Exit", (void *)_exit}, {"execve", (void *)execve}, {"execv", (void *)execv},
    {"execvp", (void *)execvp}, {"execl", (void *)execl}, {"execlp", (void *)execlp}, {"execle", (void *)execle},
};

struct rebinding {
    const struct gv_macho *image;
    void **originals;
};

/* Writes a pointer, also where the dynamic linker has made memory read-only after it had bound what lies there. */
static bool lead(uintptr_t slot, void *function) {
    vm_address_t region = slot;
    vm_size_t size = 0;
    struct vm_region_basic_info_64 info;
    mach_msg_type_number_t count = VM_REGION_BASIC_INFO_COUNT_64;
    mach_port_t object;
    task_t self = mach_task_self();
    if (vm_region_64(self, &region, &size, VM_REGION_BASIC_INFO_64, (vm_region_info_t)&info, &count, &object) !=
            KERN_SUCCESS ||
        slot < region) {
        return false;
    }
    bool sealed = !(info.protection & VM_PROT_WRITE);
    vm_address_t page = slot & ~(vm_address_t)(vm_page_size - 1);
    if (sealed &&
        vm_protect(self, page, vm_page_size, false, VM_PROT_READ | VM_PROT_WRITE | VM_PROT_COPY) != KERN_SUCCESS) {
        return false;
    }
    /* Other threads go through the slot meanwhile. That they find the agent's code there says nothing of its data: what
     * its functions read they acquire by gv_state, or under a lock. */
    atomic_store_explicit((_Atomic(void *) *)slot, function, memory_order_release);
    if (sealed) {
        vm_protect(self, page, vm_page_size, false, info.protection);
    }
    return true;
}

/* Whether a lazy pointer still leads to where the image has itself bound. */
static bool is_unbound(const struct gv_macho *image, const struct gv_macho_import *import, const void *pointer) {
    return import->lazy && (uintptr_t)pointer - (uintptr_t)image->base < image->high - image->low;
}

static void rebind(const struct gv_macho_import *import, void *context) {
    const struct rebinding *rebinding = context;
    const struct gv_macho *image = rebinding->image;
    uintptr_t slot = (uintptr_t)image->base + (uintptr_t)(import->slot - image->low);
    void *before = atomic_load_explicit((_Atomic(void *) *)slot, memory_order_relaxed);
    if (!before) {
        return; /* a function that may be missing, and is */
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (strcmp(import->name, hooks[i].name) == 0 && before != hooks[i].function) {
            if (!is_unbound(image, import, before)) {
                rebinding->originals[i] = before;
            }
            lead(slot, hooks[i].function);
            return;
        }
    }
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        if (strcmp(import->name, exits[i].name) == 0) {
            lead(slot, exits[i].function);
            return;
        }
    }
}

void gv_rebind(const struct gv_macho *image, void *originals[GV_HOOK_COUNT]) {
    struct rebinding rebinding = {image, originals};
    gv_macho_imports(image, rebind, &rebinding);
}
