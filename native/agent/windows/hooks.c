/* Replacing the first bytes of functions, and the entries through which calls come from there.
 *
 * An entry puts the address of the function that was called into this thread's `gv_calling`, then jumps to the agent's
 * function of that name. Both registers that it uses are free at that point by the calling convention. */
#include <MinHook.h>

#include "agent/agent.h"
#include "agent/windows/modules.h"
#include "platform/windows/windows.h"

#define DECLARE(name) extern void name(void);
GV_HOOKS(DECLARE)
#define FUNCTION(name) (void *)name,
static void *const targets[GV_HOOK_COUNT] = {GV_HOOKS(FUNCTION)};

/* Every call says itself whose it is: to the agent, all return addresses are like its own. */
const char *gv_own_low = NULL, *gv_own_high = (const char *)UINTPTR_MAX;

extern ULONG _tls_index; /* which of a thread's blocks of thread-local words is ours */

struct __attribute__((packed)) entry {
    uint8_t load_blocks[9]; /* mov r11, gs:[0x58] */
    uint8_t load_block[3];  /* mov r11, [r11 + ...] */
    uint32_t block;
    uint8_t load_function[2]; /* mov r10, ... */
    uint64_t function;
    uint8_t store[3]; /* mov [r11 + ...], r10 */
    uint32_t calling;
    uint8_t jump[6]; /* jmp [rip] */
    uint64_t target;
};

static struct entry entry_of(void *function, void *target) {
    const char *const *blocks = (const char *const *)__readgsqword(0x58);
    return (struct entry){
        .load_blocks = {0x65, 0x4c, 0x8b, 0x1c, 0x25, 0x58, 0, 0, 0},
        .load_block = {0x4d, 0x8b, 0x9b},
        .block = _tls_index * 8,
        .load_function = {0x49, 0xba},
        .function = (uintptr_t)function,
        .store = {0x4d, 0x89, 0x93},
        .calling = (uint32_t)((const char *)&gv_calling - blocks[_tls_index]),
        .jump = {0xff, 0x25, 0, 0, 0, 0},
        .target = (uintptr_t)target,
    };
}

/* Entries for all hooks, in memory of their own that stays: a thread may be in one of them. NULL: there is none that
 * may be executed. */
static struct entry *make_entries(const struct gv_module *module) {
    const size_t bytes = sizeof(struct entry) * GV_HOOK_COUNT;
    struct entry *entries = VirtualAlloc(NULL, bytes, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    DWORD before;
    if (!entries) {
        return NULL;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        entries[i] = entry_of(module->functions[i], targets[i]);
    }
    if (!VirtualProtect(entries, bytes, PAGE_EXECUTE_READ, &before)) {
        VirtualFree(entries, 0, MEM_RELEASE);
        return NULL;
    }
    FlushInstructionCache(GetCurrentProcess(), entries, bytes);
    return entries;
}

/* What reaches the function past the agent; NULL: its first bytes cannot be moved, and it is left alone. */
static void *hook(void *function, void *entry) {
    void *original;
    if (MH_CreateHook(function, entry, &original) != MH_OK) {
        return NULL;
    }
    if (MH_QueueEnableHook(function) != MH_OK) {
        MH_RemoveHook(function);
        return NULL;
    }
    return original;
}

/* An accessor that is hooked is called past the agent. */
static void *past_agent(const struct gv_module *module, void *api) {
    for (int i = 0; api && i < GV_HOOK_COUNT; i++) {
        if (module->functions[i] == api && module->originals[i]) {
            return module->originals[i];
        }
    }
    return api;
}

void gv_module_hook(struct gv_module *module) {
    MH_STATUS status = MH_Initialize();
    bool ready = status == MH_OK || status == MH_ERROR_ALREADY_INITIALIZED;
    struct entry *entries = ready ? make_entries(module) : NULL;
    if (!entries) {
        return;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (module->functions[i] && !module->shared[i]) {
            module->originals[i] = hook(module->functions[i], &entries[i]);
        }
    }
    for (int i = 0; i < GV_API_COUNT; i++) {
        module->apis[i] = past_agent(module, module->apis[i]);
    }
    MH_ApplyQueued();
}

void gv_module_unhook(const struct gv_module *module) {
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (module->originals[i]) {
            MH_RemoveHook(module->functions[i]);
        }
    }
}
