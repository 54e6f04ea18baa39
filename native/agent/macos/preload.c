/* How the agent comes into a process on macOS: by DYLD_INSERT_LIBRARIES. */
#include "agent/agent.h"
#include "agent/loader.h"
#include "agent/posix/environment.h"

void gv_leave_environment(void) {
    gv_leave_variable("DYLD_INSERT_LIBRARIES", ":");
}

__attribute__((constructor)) static void loaded(void) {
    gv_loaded(true);
}
