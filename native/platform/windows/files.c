/* Files: traces as they are written, and settings as they are read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/windows/windows.h"

#define SHARED (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static OVERLAPPED place(uint64_t offset) {
    return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

int gv_file_open(const char *path, enum gv_opening opening) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return -ENOENT;
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, SHARED, NULL,
                              opening == GV_FILE_JOINED ? OPEN_ALWAYS : CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    return file == INVALID_HANDLE_VALUE ? -gv_errno() : gv_descriptor(file);
}

/* All parts as one piece; NULL: memory is short. */
static void *joined(const struct gv_part *parts, int count, size_t *length) {
    *length = 0;
    for (int i = 0; i < count; i++) {
        *length += parts[i].length;
    }
    char *whole = malloc(*length), *at = whole;
    for (int i = 0; whole && i < count; i++) {
        memcpy(at, parts[i].data, parts[i].length);
        at += parts[i].length;
    }
    return whole;
}

int gv_file_append(int fd, const struct gv_part *parts, int count) {
    size_t length;
    void *whole = joined(parts, count, &length);
    if (!whole) {
        return ENOMEM;
    }
    LARGE_INTEGER size;
    OVERLAPPED end = place(UINT64_MAX); /* wherever that is by then */
    DWORD written = 0;
    int error = 0;
    if (!GetFileSizeEx(gv_handle(fd), &size) || !WriteFile(gv_handle(fd), whole, (DWORD)length, &written, &end)) {
        error = gv_errno();
    } else if (written != length) {
        error = ENOSPC;
    }
    if (error && written) {
        gv_file_cut(fd, (uint64_t)size.QuadPart);
    }
    free(whole);
    return error;
}

int64_t gv_file_read_at(int fd, void *out, size_t length, uint64_t offset) {
    OVERLAPPED from = place(offset);
    DWORD got = 0;
    if (!ReadFile(gv_handle(fd), out, (DWORD)length, &got, &from) && GetLastError() != ERROR_HANDLE_EOF) {
        return -gv_errno();
    }
    return got;
}

int64_t gv_file_write_at(int fd, const void *data, size_t length, uint64_t offset) {
    OVERLAPPED to = place(offset);
    DWORD written = 0;
    return WriteFile(gv_handle(fd), data, (DWORD)length, &written, &to) ? (int64_t)written : -gv_errno();
}

int gv_file_cut(int fd, uint64_t size) {
    FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)size};
    return SetFileInformationByHandle(gv_handle(fd), FileEndOfFileInfo, &end, sizeof end) ? 0 : -gv_errno();
}

bool gv_file_lock(int fd) {
    OVERLAPPED at = GV_LOCKED_BYTE;
    return LockFileEx(gv_handle(fd), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at);
}

void gv_file_unlock(int fd) {
    OVERLAPPED at = GV_LOCKED_BYTE;
    UnlockFileEx(gv_handle(fd), 0, 1, 0, &at);
}

/* The folder that it is read from is the user's alone; a link to elsewhere is not followed. */
bool gv_file_read_own(const char *path, char *out, size_t capacity) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return false;
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ, SHARED, NULL, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return false;
    }
    LARGE_INTEGER size;
    DWORD got = 0;
    bool good = GetFileType(file) == FILE_TYPE_DISK && GetFileSizeEx(file, &size) &&
                (uint64_t)size.QuadPart < capacity && ReadFile(file, out, (DWORD)capacity - 1, &got, NULL);
    CloseHandle(file);
    out[got] = '\0';
    return good;
}

bool gv_file_exists(const char *path) {
    wchar_t wide[GV_WIDE_PATH];
    return gv_wide_path(path, wide) && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

bool gv_file_rename(const char *from, const char *to) {
    wchar_t wide_from[GV_WIDE_PATH], wide_to[GV_WIDE_PATH];
    return gv_wide_path(from, wide_from) && gv_wide_path(to, wide_to) &&
           MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING);
}

/* The name goes at once where the file system can do that (NTFS, since 2018), else when the last who has the file open
 * closes it. What is mapped stays in either case, and is for the next sweep. */
void gv_file_remove(const char *path) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return;
    }
    HANDLE file = CreateFileW(wide, DELETE, SHARED, NULL, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return;
    }
    FILE_DISPOSITION_INFO_EX at_once = {FILE_DISPOSITION_FLAG_DELETE | FILE_DISPOSITION_FLAG_POSIX_SEMANTICS};
    FILE_DISPOSITION_INFO later = {TRUE};
    if (!SetFileInformationByHandle(file, FileDispositionInfoEx, &at_once, sizeof at_once)) {
        SetFileInformationByHandle(file, FileDispositionInfo, &later, sizeof later);
    }
    CloseHandle(file);
}
