/* What a system's loader knows, and how calls come to the agent there. Each system has a folder beside this header that
 * implements it; nothing else of the agent knows an object format. */
#ifndef GV_LOADER_H
#define GV_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/symbols.h"

/* Return addresses that do not tell whose a call is; gv_calling does. On Linux they lie in the agent itself. */
extern const char *gv_own_low, *gv_own_high;

struct gv_extent {
    uintptr_t low, high;
};

/* Where the loaded object that contains `address` lies. False: none does, and the extent is empty. */
bool gv_object_extent(const void *address, struct gv_extent *extent);

/* The file of the object that contains `address`, cut at `capacity`. False: no object does. */
bool gv_object_path(const void *address, char *out, size_t capacity);

/* For each hook, what a call from the object that contains `address` and begins at `low` would have reached without the
 * agent. NULL: nothing. */
void gv_object_originals(const void *address, uintptr_t low, void *originals[GV_HOOK_COUNT]);

/* For each accessor, what that object would reach; all of one copy of ggml. NULL: nothing. */
void gv_object_apis(const void *address, uintptr_t low, void *apis[GV_API_COUNT]);

/* Brings the agent into what has been loaded since the last call; cheap if nothing has. With `bound`, also into calls
 * that are bound already. Any thread may call this, one at a time. */
void gv_objects_take_in(bool bound);

/* Lets the next call take in all objects again: a call that was being bound just then may have been missed. */
void gv_objects_forget(void);

/* Says in the definition log what was reached beyond what the loader itself leads to the agent. */
void gv_objects_define(void);

void gv_objects_after_fork(void);

/* Takes the agent out of the environment that the program passes on, and leaves the rest as the user gave it. */
void gv_leave_environment(void);

#endif
