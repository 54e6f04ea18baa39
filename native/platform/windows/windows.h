/* Where text and errors cross between Windows and the rest: paths and names are UTF-8 on this side, errors errno's. */
#ifndef GV_WINDOWS_H
#define GV_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <psapi.h>
#include <winioctl.h>
#include <winternl.h>

#define GV_WIDE_PATH 4096

/* A path as the functions of Windows take it, of any length that they take. False: it is no path. */
bool gv_wide_path(const char *path, wchar_t out[GV_WIDE_PATH]);

/* As much of `text` as fits, and a zero; returns its length, or what it would be, without the zero. */
size_t gv_narrow(const wchar_t *text, char *out, size_t capacity);

/* The errno nearest to the last error of Windows. */
int gv_errno(void);

/* Handles are numbers of 32 bits, of which the highest is never set: they pass as descriptors. */
static inline HANDLE gv_handle(int fd) {
    return (HANDLE)(intptr_t)fd;
}
static inline int gv_descriptor(HANDLE handle) {
    return (int)(intptr_t)handle;
}

/* The byte of a file that is locked, far beyond all that is read or written: locks keep others from reading. */
#define GV_LOCKED_BYTE ((OVERLAPPED){.Offset = 0, .OffsetHigh = 0x7fffffff})

#endif
