/* The loaded modules that have ggml's functions, and how calls of those come to the agent.
 *
 * Calls on Windows go straight to what the loader has bound, or the compiler: no order of symbols leads them elsewhere.
 * So the first bytes of the functions themselves are replaced (MinHook) by a jump to the agent's, by way of an entry
 * that says which one was called; the function itself is reached by a copy of those bytes. That sees every call that
 * was not inlined, also those within a module, and needs no guess whose ggml it is. */
#ifndef GV_MODULES_H
#define GV_MODULES_H

#include "agent/loader.h"
#include "agent/symbols.h"

struct gv_module {
    uintptr_t low, high;
    void *functions[GV_HOOK_COUNT]; /* NULL: it has none of that name */
    void *originals[GV_HOOK_COUNT]; /* what reaches them past the agent; NULL: they are not hooked */
    void *apis[GV_API_COUNT];       /* past the agent, too */
    bool shared[GV_HOOK_COUNT];     /* what was called could not be told from another function */
    char path[512];
};

/* Finds ggml's functions in a module that has just been mapped at `base`, or still is. False: it has none. */
bool gv_module_read(const void *base, struct gv_module *out);

/* Whether functions of `other` are among those that `module` imports. */
bool gv_module_uses(const struct gv_module *module, const struct gv_module *other);

/* Leads calls of the module's functions to the agent. Other threads may be calling them. */
void gv_module_hook(struct gv_module *module);

/* The module is about to go. */
void gv_module_unhook(const struct gv_module *module);

/* Has gv_finish called before the process ends. */
void gv_exits_watch(void);

#endif
