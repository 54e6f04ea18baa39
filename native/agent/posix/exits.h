/* What every hook does that sees a program become another one. */
#ifndef GV_EXITS_H
#define GV_EXITS_H

#include <dlfcn.h>

#include "agent/agent.h"

/* A program that replaces itself begins anew: its trace so far is finished first. Should exec fail, the process
 * goes on unrecorded. */
#define BEFORE_EXEC(original, name)                                                                                    \
    do {                                                                                                               \
        gv_finish();                                                                                                   \
        *(void **)&(original) = dlsym(RTLD_NEXT, name);                                                                \
    } while (0)

#endif
