/* Taking the agent out of the variable by which the dynamic linker loads it. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/posix/environment.h"

/* Whether an entry of the variable is the object that the dynamic linker has at `path`. */
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

void gv_leave_variable(const char *variable, const char *separators) {
    Dl_info own;
    const char *preload = getenv(variable);
    char *kept = preload ? malloc(strlen(preload) + 1) : NULL;
    if (!kept || !dladdr((const void *)gv_leave_variable, &own)) {
        free(kept);
        return;
    }
    size_t length = 0;
    bool found = false;
    for (const char *at = preload; *at;) {
        size_t entry = strcspn(at, separators), separator = at[entry] != '\0';
        if (!found && entry && is_object(at, entry, own.dli_fname)) {
            found = true;
        } else {
            memcpy(kept + length, at, entry + separator);
            length += entry + separator;
        }
        at += entry + separator;
    }
    if (found && length && !strchr(separators, preload[strlen(preload) - 1]) && strchr(separators, kept[length - 1])) {
        length--; /* it was the last, and the separator before it its own */
    }
    kept[length] = '\0';
    if (found && length) {
        setenv(variable, kept, 1);
    } else if (found) {
        unsetenv(variable);
    }
    unsetenv("GGML_VIZ_RUN");
    free(kept);
}
