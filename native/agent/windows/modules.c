/* The modules that have ggml's functions: taken in when the agent starts, and from then on as they are loaded.
 *
 * The loader tells of a module before anybody can call it, with its own lock held. So nothing here may call the loader
 * while it holds the lock of this file, and everything is found in memory. */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/settings.h"
#include "agent/windows/modules.h"
#include "platform/windows/windows.h"

#define MODULES 64u
#define LOADED 1024u

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};

extern const char __ImageBase[]; /* where the agent lies */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gv_module modules[MODULES];
static uint32_t module_count;
static bool overfull;

static struct gv_module *module_at(uintptr_t address) {
    for (uint32_t i = 0; i < module_count; i++) {
        if (address - modules[i].low < modules[i].high - modules[i].low) {
            return &modules[i];
        }
    }
    return NULL;
}

/* --- loading and unloading --- */

static void take_in(const void *base, const wchar_t *path) {
    static struct gv_module fresh; /* under the lock */
    pthread_mutex_lock(&lock);
    if (base != __ImageBase && !module_at((uintptr_t)base) && gv_module_read(base, &fresh)) {
        gv_narrow(path, fresh.path, sizeof fresh.path);
        if (module_count < MODULES) {
            gv_module_hook(&fresh);
            modules[module_count++] = fresh;
            atomic_fetch_add(&gv_generation, 1);
        } else {
            overfull = true;
        }
    }
    pthread_mutex_unlock(&lock);
}

static void let_go(const void *base) {
    pthread_mutex_lock(&lock);
    struct gv_module *module = module_at((uintptr_t)base);
    if (module) {
        gv_module_unhook(module);
        *module = modules[--module_count];
        atomic_fetch_add(&gv_generation, 1);
    }
    pthread_mutex_unlock(&lock);
}

/* The beginning of what ntdll passes, loaded or unloaded. */
struct notified {
    ULONG flags;
    const UNICODE_STRING *path, *name;
    void *base;
    ULONG size;
};
enum { NOTIFIED_LOADED = 1, NOTIFIED_UNLOADED = 2 };

static void CALLBACK notify(ULONG reason, const struct notified *what, void *nothing) {
    (void)nothing;
    DWORD error = GetLastError();
    if (reason == NOTIFIED_LOADED) {
        take_in(what->base, what->path->Buffer);
    } else if (reason == NOTIFIED_UNLOADED) {
        let_go(what->base);
    }
    SetLastError(error);
}

static bool register_notify(void) {
    typedef NTSTATUS(NTAPI * register_fn)(ULONG, void(CALLBACK *)(ULONG, const struct notified *, void *), void *,
                                          void **);
    void *cookie;
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    register_fn function = (register_fn)(void *)GetProcAddress(ntdll, "LdrRegisterDllNotification");
    return function && function(0, notify, NULL, &cookie) == 0;
}

/* What has been loaded already. Each is held meanwhile, lest it go. */
static void take_in_loaded(void) {
    static HMODULE loaded[LOADED];
    DWORD bytes = 0;
    wchar_t path[GV_WIDE_PATH];
    EnumProcessModules(GetCurrentProcess(), loaded, sizeof loaded, &bytes);
    for (size_t i = 0; i < LOADED && i < bytes / sizeof *loaded; i++) {
        HMODULE held;
        if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (const wchar_t *)loaded[i], &held)) {
            continue;
        }
        path[GetModuleFileNameW(held, path, GV_WIDE_PATH - 1)] = L'\0';
        take_in(held, path);
        FreeLibrary(held);
    }
}

static _Atomic bool loads_seen;

void gv_objects_take_in(bool bound) {
    static _Atomic bool begun;
    (void)bound; /* no call is bound past the functions themselves */
    if (!atomic_exchange(&begun, true)) {
        gv_exits_watch();
        atomic_store(&loads_seen, register_notify());
        take_in_loaded();
    }
}

void gv_objects_forget(void) {
}

void gv_objects_after_fork(void) {
}

/* --- what the agent asks --- */

bool gv_object_extent(const void *address, struct gv_extent *extent) {
    MEMORY_BASIC_INFORMATION memory;
    *extent = (struct gv_extent){0};
    pthread_mutex_lock(&lock);
    const struct gv_module *module = module_at((uintptr_t)address);
    if (module) {
        *extent = (struct gv_extent){module->low, module->high};
    }
    pthread_mutex_unlock(&lock);
    if (!module && VirtualQuery(address, &memory, sizeof memory) && memory.Type == MEM_IMAGE) {
        uintptr_t low = (uintptr_t)memory.BaseAddress;
        *extent = (struct gv_extent){low, low + memory.RegionSize};
    }
    return extent->low != 0;
}

bool gv_object_path(const void *address, char *out, size_t capacity) {
    pthread_mutex_lock(&lock);
    const struct gv_module *module = module_at((uintptr_t)address);
    if (module) {
        snprintf(out, capacity, "%s", module->path);
    }
    pthread_mutex_unlock(&lock);
    return module != NULL;
}

/* Its own functions, and those that it calls in others. */
void gv_object_originals(const void *address, uintptr_t low, void *originals[GV_HOOK_COUNT]) {
    (void)address;
    pthread_mutex_lock(&lock);
    const struct gv_module *own = module_at(low);
    for (uint32_t m = 0; own && m < module_count; m++) {
        const struct gv_module *other = &modules[m];
        bool used = other == own || gv_module_uses(own, other);
        for (int i = 0; used && i < GV_HOOK_COUNT; i++) {
            if (other->originals[i] && (other == own || !own->originals[i])) {
                originals[i] = other->originals[i];
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

/* The ggml that a module belongs to, by the one that makes its contexts: itself, one that it uses, any. */
static const struct gv_module *ggml_of(const struct gv_module *own) {
    const struct gv_module *any = NULL;
    if (own && own->apis[GV_API_ggml_init]) {
        return own;
    }
    for (uint32_t m = 0; m < module_count; m++) {
        if (modules[m].apis[GV_API_ggml_init]) {
            if (own && gv_module_uses(own, &modules[m])) {
                return &modules[m];
            }
            any = any ? any : &modules[m];
        }
    }
    return any;
}

/* Of all modules of that ggml: some have what is not among what others use. */
void gv_object_apis(const void *address, uintptr_t low, void *apis[GV_API_COUNT]) {
    (void)address;
    pthread_mutex_lock(&lock);
    const struct gv_module *own = module_at(low), *ggml = ggml_of(own);
    for (int i = 0; ggml && i < GV_API_COUNT; i++) {
        apis[i] = own && own->apis[i] ? own->apis[i] : ggml->apis[i];
        for (uint32_t m = 0; m < module_count && !apis[i]; m++) {
            if (modules[m].apis[i] && gv_module_uses(&modules[m], ggml)) {
                apis[i] = modules[m].apis[i];
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

void *gv_original_anywhere(enum gv_hook hook) {
    void *original = NULL;
    pthread_mutex_lock(&lock);
    for (uint32_t m = 0; m < module_count && !original; m++) {
        original = modules[m].originals[hook];
    }
    pthread_mutex_unlock(&lock);
    return original;
}

/* --- what is not seen --- */

static void define_module(const struct gv_module *module) {
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (module->functions[i] && !module->originals[i]) {
            char text[1024];
            snprintf(text, sizeof text, "calls of %s in %s: %s", hook_names[i], module->path,
                     module->shared[i] ? "another function has the same code" : "its code could not be changed");
            gv_define_note(GV_NOTE_NOT_SEEN, text);
        }
    }
}

void gv_objects_define(void) {
    pthread_mutex_lock(&lock);
    for (uint32_t m = 0; m < module_count; m++) {
        define_module(&modules[m]);
    }
    if (overfull) {
        gv_define_note(GV_NOTE_NOT_SEEN, "ggml in more libraries than there is room for");
    }
    pthread_mutex_unlock(&lock);
    if (!atomic_load(&loads_seen)) {
        gv_define_note(GV_NOTE_NOT_SEEN, "libraries that are loaded later: this Windows does not tell of them");
    }
    if (gv_settings.children && !gv_attached) {
        gv_define_note(GV_NOTE_NOT_SEEN, "programs that this one starts: on Windows they are not followed");
    }
}
