/* The end of the process, where no recorder outside reads what is left: before other threads are ended and libraries
 * are told, from which moment on little would be safe. A process that is terminated from outside never gets here. */
#include <MinHook.h>

#include "agent/agent.h"
#include "agent/windows/modules.h"
#include "platform/windows/windows.h"

typedef void(NTAPI *exit_fn)(NTSTATUS status);
static exit_fn original;

static void NTAPI finish_and_exit(NTSTATUS status) {
    gv_finish();
    original(status);
}

void gv_exits_watch(void) {
    void *function = (void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlExitUserProcess");
    MH_Initialize();
    if (function && MH_CreateHook(function, (void *)finish_and_exit, (void **)&original) == MH_OK) {
        MH_EnableHook(function);
    }
}
