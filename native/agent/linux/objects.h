/* Loaded objects, and reaching calls in them that the dynamic linker's order of symbols does not bring to the agent:
 *
 *   - direct calls inside an object that has ggml linked into it (statics.c finds the functions by the symbol table
 *     that stripping removes, callsites.c re-targets the calls);
 *   - calls that were bound before the agent came (got.c rewrites the slots). */
#ifndef GV_OBJECTS_H
#define GV_OBJECTS_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/loader.h"
#include "agent/symbols.h"

/* One loaded object, as the dynamic linker has it. */
struct gv_object {
    const char *path; /* of the file; the program's is /proc/self/exe */
    uintptr_t bias;   /* to add to an address of the file */
    uintptr_t low, high;
    const ElfW(Phdr) * segments;
    uint32_t segment_count;
    bool is_program;
};

/* Fills `object` from what dl_iterate_phdr passes. False, but filled, for what is no file of its own (the vDSO). */
bool gv_object_of(const struct dl_phdr_info *info, struct gv_object *object);

#define GV_KERNELS 192u

/* ggml's functions in an object, by its own symbol table; NULL: it has none of that name. */
struct gv_statics {
    uintptr_t low;
    void *hooks[GV_HOOK_COUNT];
    void *apis[GV_API_COUNT];
    void *kernels[GV_KERNELS]; /* what computes a node, one function for each op: ggml_compute_forward_… */
    uint32_t kernel_count;
    _Atomic bool patched[GV_HOOK_COUNT]; /* direct calls of it lead to the agent */
    _Atomic int sites;                   /* how many calls do; negative: an errno, and none does */
    char path[256];
};

/* Reads the symbol table of the object's file. False where it has none, defines none of ggml's functions that are
 * hooked, or is not the file that was loaded. */
bool gv_statics_read(const struct gv_object *object, struct gv_statics *out);

/* Where the function that contains `address` lies, by the same table. False: nothing says. */
bool gv_statics_function(const struct gv_object *object, uintptr_t address, uintptr_t *low, uintptr_t *high);

/* The functions in the object that lies at `low`; NULL: nothing is known of it. */
const struct gv_statics *gv_statics_at(uintptr_t low);

/* Any object's function of this name. */
void *gv_statics_anywhere(enum gv_hook hook);

/* An object that has this accessor. */
const struct gv_statics *gv_statics_with(enum gv_api api);

/* The agent's own functions, by hook: what calls are led to. */
extern void *const gv_hook_functions[GV_HOOK_COUNT];

/* Leads direct calls of `statics->hooks` in the object's text to the agent, and says which in `statics->patched`; and
 * of its kernels, where the function that chooses among them calls them. Returns how many calls of hooks, or a negative
 * errno: nothing was changed then. Other threads may be running that code. */
int gv_callsites_patch(const struct gv_object *object, struct gv_statics *statics);

/* Leads calls of hooked functions that go through the object's table of addresses to the agent. Returns how many. */
int gv_got_patch(const struct gv_object *object);

#endif
