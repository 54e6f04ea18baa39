/* This process and others, waiting, and the clock. */
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/platform.h"
#include "platform/windows/windows.h"

/* The CPU says whether its counter ticks at one rate in all power states and on all cores; Windows, by using it for its
 * own clock, that it does. That clock then has ten million ticks a second, and another number with any other source. */
bool gv_counter_is_invariant(void) {
    unsigned a, b, c, d;
    LARGE_INTEGER rate;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8)) && QueryPerformanceFrequency(&rate) &&
           rate.QuadPart == 10000000;
}

/* --- this process --- */

uint32_t gv_process_id(void) {
    return GetCurrentProcessId();
}

uint32_t gv_parent_process_id(void) {
    PROCESS_BASIC_INFORMATION info = {0};
    NtQueryInformationProcess(GetCurrentProcess(), ProcessBasicInformation, &info, sizeof info, NULL);
    return (uint32_t)(uintptr_t)info.InheritedFromUniqueProcessId;
}

/* Windows knows no jobs of a shell: each process is one. */
uint32_t gv_process_group(void) {
    return GetCurrentProcessId();
}

uint32_t gv_thread_id(void) {
    return GetCurrentThreadId();
}

uint32_t gv_cpus(void) {
    DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count ? count : 1;
}

size_t gv_page_bytes(void) {
    return 4096;
}

size_t gv_executable(char *out, size_t capacity) {
    wchar_t path[GV_WIDE_PATH];
    DWORD length = GetModuleFileNameW(NULL, path, GV_WIDE_PATH);
    char whole[3 * GV_WIDE_PATH];
    if (!length || length == GV_WIDE_PATH) {
        return 0;
    }
    size_t bytes = gv_narrow(path, whole, sizeof whole);
    bytes = bytes < capacity ? bytes : capacity;
    memcpy(out, whole, bytes);
    return bytes;
}

struct arguments {
    char *out;
    size_t length, capacity;
};

static void put(struct arguments *to, char byte, size_t times) {
    for (; times && to->length < to->capacity; times--) {
        to->out[to->length++] = byte;
    }
}

/* One argument of a command line, as the C library takes it apart: quotes hold blanks together, a backslash counts as
 * one only before a quote. Returns what follows. */
static const char *take_argument(const char *at, bool program, struct arguments *to) {
    bool quoted = false;
    for (; *at && (quoted || (*at != ' ' && *at != '\t')); at++) {
        size_t slashes = program ? 0 : strspn(at, "\\");
        if (slashes && at[slashes] != '"') {
            put(to, '\\', slashes);
            at += slashes - 1;
            continue;
        }
        put(to, '\\', slashes / 2);
        at += slashes;
        if (*at != '"' || slashes % 2) {
            put(to, *at, 1);
        } else if (quoted && at[1] == '"' && !program) {
            put(to, *at++, 1);
        } else {
            quoted = !quoted;
        }
    }
    return at + strspn(at, " \t");
}

size_t gv_command_line(char *out, size_t capacity) {
    char line[32768]; /* Windows takes no longer one */
    struct arguments arguments = {out, 0, capacity};
    gv_narrow(GetCommandLineW(), line, sizeof line);
    for (const char *at = take_argument(line, true, &arguments); *at;) {
        put(&arguments, '\0', 1);
        at = take_argument(at, false, &arguments);
    }
    return arguments.length;
}

size_t gv_environment(const char *name, char *out, size_t capacity) {
    wchar_t wide_name[64], value[GV_WIDE_PATH];
    out[0] = '\0';
    MultiByteToWideChar(CP_UTF8, 0, name, -1, wide_name, 64);
    DWORD length = GetEnvironmentVariableW(wide_name, value, GV_WIDE_PATH);
    return length && length < GV_WIDE_PATH ? gv_narrow(value, out, capacity) : length;
}

bool gv_thread_start(void *(*function)(void *)) {
    pthread_t thread;
    return pthread_create(&thread, NULL, function, NULL) == 0 && pthread_detach(thread) == 0;
}

/* There are no signals, */
void gv_undisturbed(void (*function)(void)) {
    function();
}

/* and no fork. */
void gv_on_fork(void (*in_child)(void)) {
    (void)in_child;
}

uint64_t gv_last_error(void) {
    return (uint64_t)GetLastError() << 32 | (uint32_t)errno;
}

void gv_set_last_error(uint64_t error) {
    errno = (int)error;
    SetLastError((DWORD)(error >> 32));
}

/* --- other processes, and waiting --- */

static uint64_t start_of(HANDLE process) {
    FILETIME began, ended, in_kernel, in_program;
    return GetProcessTimes(process, &began, &ended, &in_kernel, &in_program)
               ? (uint64_t)began.dwHighDateTime << 32 | began.dwLowDateTime
               : 0;
}

uint64_t gv_process_start(uint32_t pid) {
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
    if (!process) {
        return 0;
    }
    uint64_t start = start_of(process);
    CloseHandle(process);
    return start;
}

bool gv_process_gone(uint32_t pid, uint64_t start) {
    HANDLE process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
    if (!process) {
        return GetLastError() == ERROR_INVALID_PARAMETER; /* anything else is said of one that is there */
    }
    bool gone = WaitForSingleObject(process, 0) == WAIT_OBJECT_0 || (start && start_of(process) != start);
    CloseHandle(process);
    return gone;
}

static DWORD milliseconds(uint64_t ns) {
    return (DWORD)((ns + 999999u) / 1000000u);
}

void gv_sleep_ns(uint64_t ns) {
    Sleep(milliseconds(ns));
}

bool gv_wait_exit(intptr_t process, uint64_t ns) {
    if (process == -1) {
        gv_sleep_ns(ns);
        return false;
    }
    return WaitForSingleObject((HANDLE)process, milliseconds(ns)) == WAIT_OBJECT_0;
}
