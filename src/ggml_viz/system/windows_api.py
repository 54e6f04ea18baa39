"""The functions of Windows that Python's library does not have, by ctypes."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_void_p, c_wchar_p, sizeof
from ctypes.wintypes import BOOL, BYTE, DWORD, HANDLE, HMODULE, LPCWSTR, LPVOID, LPWSTR, PDWORD, ULONG, USHORT, WORD
from typing import Any

assert sys.platform == "win32"

SYNCHRONIZE = 0x0010_0000
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
# What it takes to look at a process's modules, and to bring a library into it.
PROCESS_READ = 0x0400 | 0x0010
PROCESS_INJECT = PROCESS_READ | 0x0002 | 0x0008 | 0x0020

CREATE_SUSPENDED = 0x0000_0004
MEM_COMMIT_RESERVE, PAGE_READWRITE = 0x3000, 0x04
WAIT_OBJECT_0 = 0
GENERIC_READ, GENERIC_WRITE = 0x8000_0000, 0x4000_0000
SHARE_ALL, CREATE_NEW = 7, 1
LOCK_AT_ONCE = 1

ERROR_ACCESS_DENIED = 5
ERROR_INVALID_PARAMETER = 87
ERROR_BAD_EXE_FORMAT = 193
ERROR_ELEVATION_REQUIRED = 740

MACHINE_UNKNOWN, MACHINE_I386, MACHINE_AMD64, MACHINE_ARM64 = 0, 0x014C, 0x8664, 0xAA64

TH32CS_SNAPPROCESS = 2
TOKEN_QUERY, TOKEN_USER = 0x0008, 1
PROCESS_COMMAND_LINE_INFORMATION = 60
LIST_MODULES_ALL = 3
THREAD_PRIORITY_BELOW_NORMAL = -1
BELOW_NORMAL_PRIORITY_CLASS = 0x4000


class Overlapped(ctypes.Structure):
    """OVERLAPPED: a place in a file."""

    _fields_ = [("Internal", c_void_p), ("InternalHigh", c_void_p), ("Offset", ctypes.c_uint64), ("hEvent", HANDLE)]


class ProcessorInformation(ctypes.Structure):
    """SYSTEM_LOGICAL_PROCESSOR_INFORMATION of a cache."""

    _fields_ = [
        ("ProcessorMask", ctypes.c_size_t),
        ("Relationship", DWORD),
        ("Level", BYTE),
        ("Associativity", BYTE),
        ("LineSize", WORD),
        ("Size", DWORD),
        ("Type", DWORD),
        ("_rest", BYTE * 4),
    ]


RELATION_CACHE = 2


class ProcessEntry(ctypes.Structure):
    """PROCESSENTRY32W."""

    _fields_ = [
        ("dwSize", DWORD),
        ("cntUsage", DWORD),
        ("th32ProcessID", DWORD),
        ("th32DefaultHeapID", c_void_p),
        ("th32ModuleID", DWORD),
        ("cntThreads", DWORD),
        ("th32ParentProcessID", DWORD),
        ("pcPriClassBase", ctypes.c_long),
        ("dwFlags", DWORD),
        ("szExeFile", ctypes.c_wchar * 260),
    ]


class UnicodeString(ctypes.Structure):
    """UNICODE_STRING."""

    _fields_ = [("Length", USHORT), ("MaximumLength", USHORT), ("Buffer", c_void_p)]


class MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX."""

    _fields_ = [
        ("dwLength", DWORD),
        ("dwMemoryLoad", DWORD),
        *((name, ctypes.c_uint64) for name in ("TotalPhys", "AvailPhys", "TotalPageFile", "AvailPageFile")),
        *((name, ctypes.c_uint64) for name in ("TotalVirtual", "AvailVirtual", "AvailExtendedVirtual")),
    ]


class JobLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", DWORD),
        ("SchedulingClass", DWORD),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    ]


JOB_EXTENDED_LIMITS = 9
JOB_LIMIT_PROCESS_MEMORY = 0x100


def _functions(library: str, signatures: dict[str, tuple[Any, list[Any]]]) -> Any:
    loaded = ctypes.WinDLL(library, use_last_error=True)
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


kernel32 = _functions(
    "kernel32",
    {
        "OpenProcess": (HANDLE, [DWORD, BOOL, DWORD]),
        "CloseHandle": (BOOL, [HANDLE]),
        "WaitForSingleObject": (DWORD, [HANDLE, DWORD]),
        "GetExitCodeThread": (BOOL, [HANDLE, PDWORD]),
        "CreateRemoteThread": (HANDLE, [HANDLE, LPVOID, ctypes.c_size_t, LPVOID, LPVOID, DWORD, PDWORD]),
        "VirtualAllocEx": (LPVOID, [HANDLE, LPVOID, ctypes.c_size_t, DWORD, DWORD]),
        "VirtualFreeEx": (BOOL, [HANDLE, LPVOID, ctypes.c_size_t, DWORD]),
        "WriteProcessMemory": (BOOL, [HANDLE, LPVOID, LPVOID, ctypes.c_size_t, LPVOID]),
        "GetModuleHandleW": (HMODULE, [LPCWSTR]),
        "GetProcAddress": (LPVOID, [HMODULE, ctypes.c_char_p]),
        "LoadLibraryExW": (HMODULE, [LPCWSTR, HANDLE, DWORD]),
        "FreeLibrary": (BOOL, [HMODULE]),
        "GetCurrentProcess": (HANDLE, []),
        "GetCurrentThread": (HANDLE, []),
        "SetThreadPriority": (BOOL, [HANDLE, ctypes.c_int]),
        "SetPriorityClass": (BOOL, [HANDLE, DWORD]),
        "CreateToolhelp32Snapshot": (HANDLE, [DWORD, DWORD]),
        "Process32FirstW": (BOOL, [HANDLE, POINTER(ProcessEntry)]),
        "Process32NextW": (BOOL, [HANDLE, POINTER(ProcessEntry)]),
        "QueryFullProcessImageNameW": (BOOL, [HANDLE, DWORD, LPWSTR, PDWORD]),
        "IsWow64Process2": (BOOL, [HANDLE, POINTER(USHORT), POINTER(USHORT)]),
        "GlobalMemoryStatusEx": (BOOL, [POINTER(MemoryStatus)]),
        "CreateJobObjectW": (HANDLE, [LPVOID, LPCWSTR]),
        "SetInformationJobObject": (BOOL, [HANDLE, ctypes.c_int, LPVOID, DWORD]),
        "AssignProcessToJobObject": (BOOL, [HANDLE, HANDLE]),
        "GetProcessAffinityMask": (BOOL, [HANDLE, POINTER(ctypes.c_size_t), POINTER(ctypes.c_size_t)]),
        "ReOpenFile": (HANDLE, [HANDLE, DWORD, DWORD, DWORD]),
        "K32EnumProcessModulesEx": (BOOL, [HANDLE, LPVOID, DWORD, PDWORD, DWORD]),
        "K32GetModuleFileNameExW": (DWORD, [HANDLE, HMODULE, LPWSTR, DWORD]),
        "LocalFree": (LPVOID, [LPVOID]),
        "CreateFileW": (HANDLE, [LPCWSTR, DWORD, DWORD, LPVOID, DWORD, DWORD, HANDLE]),
        "LockFileEx": (BOOL, [HANDLE, DWORD, DWORD, DWORD, DWORD, LPVOID]),
        "ReadFile": (BOOL, [HANDLE, LPVOID, DWORD, PDWORD, LPVOID]),
        "GetLogicalProcessorInformation": (BOOL, [LPVOID, PDWORD]),
    },
)
advapi32 = _functions(
    "advapi32",
    {
        "OpenProcessToken": (BOOL, [HANDLE, DWORD, POINTER(HANDLE)]),
        "GetTokenInformation": (BOOL, [HANDLE, ctypes.c_int, LPVOID, DWORD, PDWORD]),
        "EqualSid": (BOOL, [LPVOID, LPVOID]),
    },
)
shell32 = _functions("shell32", {"CommandLineToArgvW": (POINTER(c_wchar_p), [LPCWSTR, POINTER(ctypes.c_int)])})
ntdll = _functions(
    "ntdll",
    {
        "NtQueryInformationProcess": (ctypes.c_long, [HANDLE, ctypes.c_int, LPVOID, ULONG, POINTER(ULONG)]),
        "NtResumeProcess": (ctypes.c_long, [HANDLE]),
    },
)


def failure(what: str = "") -> OSError:
    """Why the last call failed."""
    return ctypes.WinError(ctypes.get_last_error(), what or None)


class Handle:
    """A handle that is closed at the end of a `with`.

    Attributes:
        value: The handle.

    Raises:
        OSError: There is none, because the call that was to return it failed.
    """

    def __init__(self, value: int | None) -> None:
        if not value or value == c_void_p(-1).value:
            raise failure()
        self.value = value

    def __enter__(self) -> int:
        return self.value

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it."""
        kernel32.CloseHandle(self.value)


def open_process(pid: int, access: int) -> Handle:
    """A handle of a process.

    Raises:
        OSError: There is no such process, or it may not be accessed so.
    """
    return Handle(kernel32.OpenProcess(access, False, pid))


def processes() -> list[int]:
    """The numbers of all processes."""
    with Handle(kernel32.CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0)) as snapshot:
        entry = ProcessEntry(dwSize=sizeof(ProcessEntry))
        found = []
        more = kernel32.Process32FirstW(snapshot, byref(entry))
        while more:
            found.append(int(entry.th32ProcessID))
            more = kernel32.Process32NextW(snapshot, byref(entry))
    return found


def program_of(process: int) -> str:
    """The file of a process's program.

    Raises:
        OSError: It cannot be told.
    """
    room = DWORD(1 << 15)
    name = ctypes.create_unicode_buffer(room.value)
    if not kernel32.QueryFullProcessImageNameW(process, 0, name, byref(room)):
        raise failure()
    return name.value


def machine_of(process: int) -> int:
    """For which CPU a process's program is (MACHINE_…).

    Raises:
        OSError: It cannot be told.
    """
    emulated, own = USHORT(), USHORT()
    if not kernel32.IsWow64Process2(process, byref(emulated), byref(own)):
        raise failure()
    return int(emulated.value or own.value)


def arguments_of(process: int) -> tuple[str, ...]:
    """The command line of a process, cut into arguments as programs do; empty if it may not be known."""
    size = ULONG()
    ntdll.NtQueryInformationProcess(process, PROCESS_COMMAND_LINE_INFORMATION, None, 0, byref(size))
    answer = (BYTE * max(size.value, sizeof(UnicodeString)))()
    if ntdll.NtQueryInformationProcess(process, PROCESS_COMMAND_LINE_INFORMATION, answer, len(answer), byref(size)) < 0:
        return ()
    line = UnicodeString.from_buffer(answer)
    text = ctypes.wstring_at(line.Buffer, line.Length // 2) if line.Buffer else ""
    if not text.strip():
        return ()
    count = ctypes.c_int()
    words = shell32.CommandLineToArgvW(text, byref(count))
    found = tuple(words[index] or "" for index in range(count.value))
    kernel32.LocalFree(words)
    return found


def modules_of(process: int) -> dict[str, int]:
    """The files that are loaded into a process, in order, and where each lies.

    Raises:
        OSError: They may not be known, or it has not begun or has ended.
    """
    needed = DWORD()
    bases = (HMODULE * 0)()
    while True:
        size = sizeof(bases)
        if not kernel32.K32EnumProcessModulesEx(process, bases, size, byref(needed), LIST_MODULES_ALL):
            raise failure()
        if needed.value <= size:
            break
        bases = (HMODULE * (needed.value // sizeof(HMODULE) + 16))()
    name = ctypes.create_unicode_buffer(1 << 15)
    found = {}
    for base in bases[: needed.value // sizeof(HMODULE)]:
        if base and kernel32.K32GetModuleFileNameExW(process, base, name, len(name)):
            found[name.value] = int(base)
    return found


def is_own(process: int) -> bool:
    """Whether a process runs as the user that this one runs as.

    Raises:
        OSError: It cannot be told.
    """
    owners = []
    for whose in (process, kernel32.GetCurrentProcess()):
        token = HANDLE()
        if not advapi32.OpenProcessToken(whose, TOKEN_QUERY, byref(token)):
            raise failure()
        with Handle(token.value) as open_token:
            room = DWORD()
            advapi32.GetTokenInformation(open_token, TOKEN_USER, None, 0, byref(room))
            user = ctypes.create_string_buffer(room.value)
            if not advapi32.GetTokenInformation(open_token, TOKEN_USER, user, room, byref(room)):
                raise failure()
            owners.append(user)
    first, second = (c_void_p.from_buffer(owner) for owner in owners)
    return bool(advapi32.EqualSid(first, second))
