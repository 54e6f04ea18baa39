/* The ways to become another program that only Linux has; the others are in posix/exits.c. */
#include <unistd.h>

#include "agent/hook.h"
#include "agent/posix/exits.h"

HOOK int execvpe(const char *file, char *const arguments[], char *const environment[]) {
    int (*original)(const char *, char *const[], char *const[]);
    BEFORE_EXEC(original, "execvpe");
    return original(file, arguments, environment);
}

HOOK int fexecve(int fd, char *const arguments[], char *const environment[]) {
    int (*original)(int, char *const[], char *const[]);
    BEFORE_EXEC(original, "fexecve");
    return original(fd, arguments, environment);
}

HOOK int execveat(int folder, const char *path, char *const arguments[], char *const environment[], int flags) {
    int (*original)(int, const char *, char *const[], char *const[], int);
    BEFORE_EXEC(original, "execveat");
    return original(folder, path, arguments, environment, flags);
}
