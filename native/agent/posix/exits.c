/* The ways in which a program ends or becomes another one.
 *
 * A destructor sees exit and a return from main. The rest calls the kernel from inside libc, where only the function
 * that the program itself called can be hooked. A recorder outside needs none of this. */
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "agent/hook.h"
#include "agent/posix/exits.h"

__attribute__((destructor)) static void at_exit(void) {
    gv_finish();
}

HOOK __attribute__((noreturn)) void _exit(int status) {
    gv_finish();
    void (*original)(int);
    *(void **)&original = dlsym(RTLD_NEXT, "_exit");
    original(status);
    __builtin_unreachable();
}

HOOK __attribute__((noreturn)) void _Exit(int status) {
    _exit(status);
}

HOOK int execve(const char *path, char *const arguments[], char *const environment[]) {
    int (*original)(const char *, char *const[], char *const[]);
    BEFORE_EXEC(original, "execve");
    return original(path, arguments, environment);
}

HOOK int execv(const char *path, char *const arguments[]) {
    int (*original)(const char *, char *const[]);
    BEFORE_EXEC(original, "execv");
    return original(path, arguments);
}

HOOK int execvp(const char *file, char *const arguments[]) {
    int (*original)(const char *, char *const[]);
    BEFORE_EXEC(original, "execvp");
    return original(file, arguments);
}

static size_t count_listed(const char *first, va_list rest) {
    size_t count = 0;
    for (const char *argument = first; argument; argument = va_arg(rest, const char *)) {
        count++;
    }
    return count;
}

/* Declares `arguments`, an array of a variadic call's arguments; leaves `rest` behind their NULL. On the stack, as
 * libc has it: exec may be called where no memory can be allocated. */
#define COLLECT(arguments, first, rest)                                                                                \
    va_start(rest, first);                                                                                             \
    size_t count = count_listed(first, rest);                                                                          \
    va_end(rest);                                                                                                      \
    char *arguments[count + 1];                                                                                        \
    va_start(rest, first);                                                                                             \
    for (size_t i = 0; i <= count; i++) {                                                                              \
        arguments[i] = i == 0 ? (char *)(first) : va_arg(rest, char *);                                                \
    }

HOOK int execl(const char *path, const char *first, ...) {
    va_list rest;
    COLLECT(arguments, first, rest)
    va_end(rest);
    return execv(path, arguments);
}

HOOK int execlp(const char *file, const char *first, ...) {
    va_list rest;
    COLLECT(arguments, first, rest)
    va_end(rest);
    return execvp(file, arguments);
}

HOOK int execle(const char *path, const char *first, ...) {
    va_list rest;
    COLLECT(arguments, first, rest)
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, arguments, environment);
}
