/* How the agent comes into a process on macOS: by DYLD_INSERT_LIBRARIES. */
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/loader.h"
#include "agent/posix/environment.h"

void gv_leave_environment(void) {
    gv_leave_variable("DYLD_INSERT_LIBRARIES", ":");
}

__attribute__((constructor)) static void loaded(void) {
    /* Merely loaded, to see whether it can be, it stays asleep. */
    gv_loaded(getenv("DYLD_INSERT_LIBRARIES") != NULL);
}
