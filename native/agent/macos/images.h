/* Loaded images, and the pointers through which they call each other. */
#ifndef GV_IMAGES_H
#define GV_IMAGES_H

#include "agent/macos/macho.h"
#include "agent/symbols.h"

/* Leads an image's calls of hooked functions, and of those that end a program, to the agent. What the dynamic linker
 * had bound them to goes to `originals`; NULL: no such call, or one that is not bound yet. Other threads may be calling
 * meanwhile. */
void gv_rebind(const struct gv_macho *image, void *originals[GV_HOOK_COUNT]);

#endif
