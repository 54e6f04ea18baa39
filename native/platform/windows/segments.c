/* Segments as mapped files in the user's own application data. A file that the system need not write to the disk soon
 * is as near as it gets to one in memory that has a name, can be listed, and outlives the process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/windows/windows.h"

#define SHARED (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static int make_folder(const char *path) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return -ENAMETOOLONG;
    }
    return CreateDirectoryW(wide, NULL) || GetLastError() == ERROR_ALREADY_EXISTS ? 0 : -gv_errno();
}

/* What lies in %LOCALAPPDATA% is for its user alone, by the rights that it inherits. */
int gv_folder(char *out, size_t capacity) {
    static const char *const below[] = {"\\ggml-viz", "\\segments"};
    size_t length = gv_environment("LOCALAPPDATA", out, capacity);
    if (!length) {
        return -ENOENT;
    }
    for (int i = 0; i < 2; i++) {
        if (length + strlen(below[i]) >= capacity) {
            return -ENAMETOOLONG;
        }
        memcpy(out + length, below[i], strlen(below[i]) + 1);
        length += strlen(below[i]);
        int error = make_folder(out);
        if (error) {
            return error;
        }
    }
    return (int)length;
}

/* --- live or stale: whoever uses a segment shares a lock --- */

static bool lock(HANDLE file, DWORD how) {
    OVERLAPPED at = GV_LOCKED_BYTE;
    return LockFileEx(file, how | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at);
}

static bool unlock(HANDLE file) {
    OVERLAPPED at = GV_LOCKED_BYTE;
    return UnlockFileEx(file, 0, 1, 0, &at);
}

int gv_segment_create(const char *path, uint64_t size) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return -ENAMETOOLONG;
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, SHARED, NULL, CREATE_NEW,
                              FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return -gv_errno();
    }
    DWORD nothing;
    /* What is never written takes no room. */
    bool good = lock(file, 0) && DeviceIoControl(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &nothing, NULL) &&
                gv_file_cut(gv_descriptor(file), size) == 0;
    if (!good) {
        int error = gv_errno();
        CloseHandle(file);
        gv_file_remove(path);
        return -error;
    }
    return gv_descriptor(file);
}

int gv_segment_open(const char *path, uint64_t *size, bool hold) {
    wchar_t wide[GV_WIDE_PATH];
    if (!gv_wide_path(path, wide)) {
        return -ENAMETOOLONG;
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, SHARED, NULL, OPEN_EXISTING,
                              FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return -gv_errno();
    }
    LARGE_INTEGER bytes;
    if (GetFileType(file) != FILE_TYPE_DISK || !GetFileSizeEx(file, &bytes) || (hold && !lock(file, 0))) {
        int error = gv_errno();
        CloseHandle(file);
        return -error;
    }
    *size = (uint64_t)bytes.QuadPart;
    return gv_descriptor(file);
}

bool gv_segment_abandoned(int fd, uint32_t pid, uint64_t start) {
    if (!gv_process_gone(pid, start)) {
        return false;
    }
    /* A lock cannot be converted: for a moment nobody has this one. Whoever finds the segment abandoned just then does
     * with it what its last user would. */
    bool held = unlock(gv_handle(fd));
    bool alone = lock(gv_handle(fd), LOCKFILE_EXCLUSIVE_LOCK);
    if (alone) {
        unlock(gv_handle(fd));
    }
    if (held) {
        lock(gv_handle(fd), 0);
    }
    return alone;
}

/* --- memory --- */

void *gv_map(int fd, uint64_t size) {
    HANDLE mapping = CreateFileMappingW(gv_handle(fd), NULL, PAGE_READWRITE, (DWORD)(size >> 32), (DWORD)size, NULL);
    if (!mapping) {
        return NULL;
    }
    void *address = MapViewOfFile(mapping, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, size);
    CloseHandle(mapping); /* the view keeps it */
    return address;
}

void gv_unmap(void *address, uint64_t size) {
    (void)size;
    UnmapViewOfFile(address);
}

void gv_close(int fd) {
    if (fd >= 0) {
        CloseHandle(gv_handle(fd));
    }
}

/* Zeros that are written take their room now, so that a full disk is seen here. */
int gv_commit(int fd, uint64_t offset, uint64_t length) {
    static const char zeros[1u << 16];
    while (length) {
        int64_t written = gv_file_write_at(fd, zeros, length < sizeof zeros ? length : sizeof zeros, offset);
        if (written <= 0) {
            return written < 0 ? (int)written : -ENOSPC;
        }
        offset += (uint64_t)written;
        length -= (uint64_t)written;
    }
    return 0;
}

int gv_give_back(int fd, uint64_t offset, uint64_t length) {
    FILE_ZERO_DATA_INFORMATION part = {.FileOffset.QuadPart = (LONGLONG)offset,
                                       .BeyondFinalZero.QuadPart = (LONGLONG)(offset + length)};
    DWORD nothing;
    bool good = DeviceIoControl(gv_handle(fd), FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &nothing, NULL) &&
                DeviceIoControl(gv_handle(fd), FSCTL_SET_ZERO_DATA, &part, sizeof part, NULL, 0, &nothing, NULL);
    return good ? 0 : -gv_errno();
}

void gv_flush(int fd) {
    (void)fd; /* the system writes it out within seconds, and tells the disk to */
}

void gv_populate(void *address, uint64_t length) {
    volatile char *bytes = address;
    for (uint64_t at = 0; at < length; at += gv_page_bytes()) {
        bytes[at] = bytes[at];
    }
}

uint64_t gv_touched_bytes(int fd) {
    FILE_STANDARD_INFO info;
    bool good = GetFileInformationByHandleEx(gv_handle(fd), FileStandardInfo, &info, sizeof info);
    return good ? (uint64_t)info.AllocationSize.QuadPart : 0;
}

void gv_list(const char *folder, const char *prefix, void (*visit)(const char *name, void *context), void *context) {
    char pattern[4096], name[3 * MAX_PATH];
    wchar_t wide[GV_WIDE_PATH];
    WIN32_FIND_DATAW found;
    snprintf(pattern, sizeof pattern, "%s\\*", folder);
    HANDLE search = gv_wide_path(pattern, wide) ? FindFirstFileW(wide, &found) : INVALID_HANDLE_VALUE;
    if (search == INVALID_HANDLE_VALUE) {
        return;
    }
    do {
        gv_narrow(found.cFileName, name, sizeof name);
        bool shown = name[0] != '.' || prefix[0] == '.';
        if (shown && strncmp(name, prefix, strlen(prefix)) == 0) {
            visit(name, context);
        }
    } while (FindNextFileW(search, &found));
    FindClose(search);
}
