/* Reading modules as they lie in memory (PE). The system has mapped them and taken their headers for good. */
#include <string.h>

#include "agent/windows/modules.h"
#include "platform/windows/windows.h"

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};
static const char *const api_names[] = {GV_APIS(NAME_OF)};

static const IMAGE_NT_HEADERS64 *headers_of(const char *base) {
    const IMAGE_DOS_HEADER *dos = (const void *)base;
    const IMAGE_NT_HEADERS64 *headers = (const void *)(base + dos->e_lfanew);
    bool good = dos->e_magic == IMAGE_DOS_SIGNATURE && headers->Signature == IMAGE_NT_SIGNATURE &&
                headers->OptionalHeader.Magic == IMAGE_NT_OPTIONAL_HDR64_MAGIC;
    return good ? headers : NULL;
}

static const void *directory(const char *base, unsigned index, IMAGE_DATA_DIRECTORY *where) {
    const IMAGE_NT_HEADERS64 *headers = headers_of(base);
    if (!headers || index >= headers->OptionalHeader.NumberOfRvaAndSizes) {
        return NULL;
    }
    *where = headers->OptionalHeader.DataDirectory[index];
    return where->VirtualAddress ? base + where->VirtualAddress : NULL;
}

/* --- what a module offers --- */

struct exports {
    const char *base;
    const DWORD *functions, *names;
    const WORD *ordinals;
    DWORD function_count, name_count;
    IMAGE_DATA_DIRECTORY where;
};

static bool find_exports(const char *base, struct exports *out) {
    const IMAGE_EXPORT_DIRECTORY *table = directory(base, IMAGE_DIRECTORY_ENTRY_EXPORT, &out->where);
    if (!table) {
        return false;
    }
    out->base = base;
    out->functions = (const void *)(base + table->AddressOfFunctions);
    out->names = (const void *)(base + table->AddressOfNames);
    out->ordinals = (const void *)(base + table->AddressOfNameOrdinals);
    out->function_count = table->NumberOfFunctions;
    out->name_count = table->NumberOfNames;
    return true;
}

/* Names are sorted. 0: there is none, or another module is asked for it. */
static DWORD find_function(const struct exports *e, const char *name) {
    DWORD low = 0, high = e->name_count;
    while (low < high) {
        DWORD middle = low + (high - low) / 2;
        int order = strcmp(e->base + e->names[middle], name);
        if (order == 0) {
            DWORD at = e->ordinals[middle] < e->function_count ? e->functions[e->ordinals[middle]] : 0;
            return at - e->where.VirtualAddress < e->where.Size ? 0 : at;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

/* A linker may have folded functions that compile to the same code: a call then does not tell which one was meant. */
static bool is_shared(const struct exports *e, DWORD function) {
    DWORD count = 0;
    for (DWORD i = 0; i < e->function_count; i++) {
        count += e->functions[i] == function;
    }
    return count > 1;
}

bool gv_module_read(const void *base, struct gv_module *out) {
    struct exports e;
    memset(out, 0, sizeof *out);
    if (!find_exports(base, &e)) {
        return false;
    }
    bool found = false;
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        DWORD at = find_function(&e, hook_names[i]);
        found = found || at;
        out->functions[i] = at ? (void *)(e.base + at) : NULL;
        out->shared[i] = at && is_shared(&e, at);
    }
    for (int i = 0; i < GV_API_COUNT; i++) {
        DWORD at = find_function(&e, api_names[i]);
        found = found || at;
        out->apis[i] = at ? (void *)(e.base + at) : NULL;
    }
    out->low = (uintptr_t)base;
    out->high = out->low + headers_of(base)->OptionalHeader.SizeOfImage;
    return found;
}

/* --- what it takes from others --- */

bool gv_module_uses(const struct gv_module *module, const struct gv_module *other) {
    IMAGE_DATA_DIRECTORY where;
    const char *base = (const char *)module->low;
    const IMAGE_IMPORT_DESCRIPTOR *from = directory(base, IMAGE_DIRECTORY_ENTRY_IMPORT, &where);
    for (; from && from->Name; from++) {
        const uintptr_t *slot = (const void *)(base + from->FirstThunk);
        for (; *slot; slot++) {
            if (*slot - other->low < other->high - other->low) {
                return true;
            }
        }
    }
    return false;
}
