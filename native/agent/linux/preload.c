/* How the agent comes into a process on Linux: by LD_PRELOAD, or by an injector that calls dlopen in it. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/loader.h"

/* By this the agent knows whether it is among what the program was started with. */
__attribute__((visibility("default"))) const char ggml_viz_agent[] = GV_AGENT_VERSION;

static bool is_preloaded(void) {
    void *program = dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD);
    return program && dlsym(program, "ggml_viz_agent") == ggml_viz_agent;
}

/* Whether an entry of LD_PRELOAD is the object that the dynamic linker has at `path`. */
static bool is_object(const char *entry, size_t length, const char *path) {
    const char *name = memchr(entry, '/', length) ? path : strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strlen(name) == length && memcmp(name, entry, length) == 0) {
        return true;
    }
    char copy[4096];
    struct stat a, b;
    if (length >= sizeof copy) {
        return false;
    }
    memcpy(copy, entry, length);
    copy[length] = '\0';
    return stat(copy, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void gv_leave_environment(void) {
    Dl_info own;
    const char *preload = getenv("LD_PRELOAD");
    char *kept = preload ? malloc(strlen(preload) + 1) : NULL;
    if (!kept || !dladdr((const void *)gv_leave_environment, &own)) {
        free(kept);
        return;
    }
    size_t length = 0;
    bool found = false;
    for (const char *at = preload; *at;) {
        size_t entry = strcspn(at, ": "), separator = at[entry] != '\0';
        if (!found && entry && is_object(at, entry, own.dli_fname)) {
            found = true;
        } else {
            memcpy(kept + length, at, entry + separator);
            length += entry + separator;
        }
        at += entry + separator;
    }
    if (found && length && !strchr(": ", preload[strlen(preload) - 1]) && strchr(": ", kept[length - 1])) {
        length--; /* it was the last, and the separator before it its own */
    }
    kept[length] = '\0';
    if (found && length) {
        setenv("LD_PRELOAD", kept, 1);
    } else if (found) {
        unsetenv("LD_PRELOAD");
    }
    unsetenv("GGML_VIZ_RUN");
    free(kept);
}

__attribute__((constructor)) static void loaded(void) {
    gv_loaded(is_preloaded());
}
