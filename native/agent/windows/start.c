/* How the agent comes into a process on Windows: somebody outside has a thread of the process load the library, and a
 * second one call this. Until then it does nothing, since little may be done while a library is being loaded. */
#include "agent/agent.h"
#include "agent/loader.h"
#include "platform/windows/windows.h"

/* `preloaded`: not NULL where the program has not begun yet. Returns 1. */
__declspec(dllexport) DWORD WINAPI ggml_viz_start(void *preloaded) {
    static _Atomic bool started;
    if (!atomic_exchange(&started, true)) {
        gv_loaded(preloaded != NULL);
    }
    return 1;
}

/* Children are not followed; only the recording's name would reach them. */
void gv_leave_environment(void) {
    SetEnvironmentVariableW(L"GGML_VIZ_RUN", NULL);
}
