/* How a hooked function is written: its name is exported, unless the build says otherwise (HOOK), and it finds its
 * original through its caller. */
#ifndef GV_HOOK_H
#define GV_HOOK_H

#include "agent/agent.h"

#ifndef HOOK
#define HOOK __attribute__((visibility("default")))
#endif
#define IMAGE() gv_image_find(__builtin_return_address(0))
#define ORIGINAL(image, name, type)                                                                                    \
    ((type)(GV_LIKELY((image)->originals[GV_HOOK_##name]) ? (image)->originals[GV_HOOK_##name]                         \
                                                          : gv_original_anywhere(GV_HOOK_##name)))
#define FRAME() __builtin_frame_address(0)

#endif
