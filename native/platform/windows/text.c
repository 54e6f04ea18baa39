/* UTF-8 to UTF-16 and back; errors to errno. */
#include <errno.h>

#include "platform/windows/windows.h"

/* From this length on, a path has to be absolute and to say that it is long. */
#define LONG_PATH 240u

bool gv_wide_path(const char *path, wchar_t out[GV_WIDE_PATH]) {
    static const wchar_t mark[] = L"\\\\?\\", network[] = L"\\\\?\\UNC\\";
    wchar_t given[GV_WIDE_PATH], whole[GV_WIDE_PATH];
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, given, GV_WIDE_PATH)) {
        return false;
    }
    DWORD length = GetFullPathNameW(given, GV_WIDE_PATH, whole, NULL);
    if (!length || length >= GV_WIDE_PATH - sizeof network / sizeof *network) {
        return false;
    }
    const wchar_t *rest = whole, *before = L"";
    bool shared = whole[0] == L'\\' && whole[1] == L'\\', special = shared && (whole[2] == L'?' || whole[2] == L'.');
    if (length >= LONG_PATH && !special) {
        before = shared ? network : mark;
        rest = shared ? whole + 2 : whole;
    }
    lstrcpyW(out, before);
    lstrcatW(out, rest);
    return true;
}

size_t gv_narrow(const wchar_t *text, char *out, size_t capacity) {
    int whole = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    if (whole <= 0) {
        out[0] = '\0';
        return 0;
    }
    /* What does not fit is cut between two characters. */
    int count = lstrlenW(text), length = whole - 1;
    while ((size_t)length >= capacity) {
        count--;
        length = count ? WideCharToMultiByte(CP_UTF8, 0, text, count, NULL, 0, NULL, NULL) : 0;
    }
    if (count) {
        WideCharToMultiByte(CP_UTF8, 0, text, count, out, length, NULL, NULL);
    }
    out[length] = '\0';
    return (size_t)whole - 1;
}

int gv_errno(void) {
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
        return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_WRITE_PROTECT:
    case ERROR_USER_MAPPED_FILE:
        return EACCES;
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
        return EBUSY;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
        return EEXIST;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        return ENOSPC;
    case ERROR_FILE_TOO_LARGE:
        return EFBIG;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
        return ENOMEM;
    default:
        return EIO;
    }
}
