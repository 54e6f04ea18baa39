/* How the agent comes into a process on Linux: by LD_PRELOAD, or by an injector that calls dlopen in it. */
#include <dlfcn.h>

#include "agent/agent.h"
#include "agent/loader.h"
#include "agent/posix/environment.h"

/* By this the agent knows whether it is among what the program was started with. */
__attribute__((visibility("default"))) const char ggml_viz_agent[] = GV_AGENT_VERSION;

static bool is_preloaded(void) {
    void *program = dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD);
    return program && dlsym(program, "ggml_viz_agent") == ggml_viz_agent;
}

void gv_leave_environment(void) {
    gv_leave_variable("LD_PRELOAD", ": ");
}

__attribute__((constructor)) static void loaded(void) {
    gv_loaded(is_preloaded());
}
