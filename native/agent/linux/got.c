/* Calls that were bound before the agent came: every object reaches functions of others through a table of addresses,
 * which is rewritten where it leads to a hooked function. What the call would have reached is found by the caller's
 * object, as for any other hook. */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/agent.h"
#include "agent/linux/objects.h"
#include "platform/platform.h"

#if defined(__aarch64__)
#define IS_SLOT(type) ((type) == 1025u || (type) == 1026u) /* R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT */
#else
#define IS_SLOT(type) ((type) == 6u || (type) == 7u) /* R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT */
#endif

extern int dlclose(void *);

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};

/* What calls of `name` are to be led to; NULL: they are none of our business. */
static void *wanted(const char *name) {
    if (strncmp(name, "ggml_", 5) != 0 && strcmp(name, "GOMP_barrier") != 0 && strcmp(name, "__kmpc_barrier") != 0) {
        return strcmp(name, "dlclose") == 0 ? (void *)dlclose : NULL;
    }
    for (int i = 0; i < GV_HOOK_COUNT; i++) {
        if (strcmp(hook_names[i], name) == 0) {
            return gv_hook_functions[i];
        }
    }
    return NULL;
}

struct tables {
    const ElfW(Sym) * symbols;
    const char *names;
    size_t names_bytes;
    const ElfW(Rela) * slots, *others;
    size_t slot_bytes, other_bytes;
};

/* The dynamic linker has made these addresses absolute; in an object that it leaves read-only they are not. */
static uintptr_t absolute(const struct gv_object *object, uintptr_t address) {
    return address < object->low ? object->bias + address : address;
}

static bool find_tables(const struct gv_object *object, struct tables *out) {
    const ElfW(Dyn) *dynamic = NULL;
    for (uint32_t i = 0; i < object->segment_count; i++) {
        if (object->segments[i].p_type == PT_DYNAMIC) {
            dynamic = (const ElfW(Dyn) *)(object->bias + object->segments[i].p_vaddr);
        }
    }
    memset(out, 0, sizeof *out);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        uintptr_t at = absolute(object, dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            out->symbols = (const ElfW(Sym) *)at;
            break;
        case DT_STRTAB:
            out->names = (const char *)at;
            break;
        case DT_STRSZ:
            out->names_bytes = dynamic->d_un.d_val;
            break;
        case DT_JMPREL:
            out->slots = (const ElfW(Rela) *)at;
            break;
        case DT_PLTRELSZ:
            out->slot_bytes = dynamic->d_un.d_val;
            break;
        case DT_RELA:
            out->others = (const ElfW(Rela) *)at;
            break;
        case DT_RELASZ:
            out->other_bytes = dynamic->d_un.d_val;
            break;
        }
    }
    return out->symbols && out->names;
}

/* Whether the dynamic linker has made the page read-only after it had bound the calls. */
static bool is_sealed(const struct gv_object *object, uintptr_t slot) {
    for (uint32_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        if (p->p_type == PT_GNU_RELRO && slot - (object->bias + p->p_vaddr) < p->p_memsz) {
            return true;
        }
    }
    return false;
}

static bool lead(const struct gv_object *object, uintptr_t slot, void *function) {
    _Atomic(void *) *word = (_Atomic(void *) *)slot;
    if (slot % sizeof *word || slot < object->low || slot >= object->high ||
        atomic_load_explicit(word, memory_order_relaxed) == function) {
        return false;
    }
    size_t page_bytes = gv_page_bytes();
    void *page = (void *)(slot & ~(uintptr_t)(page_bytes - 1));
    bool sealed = is_sealed(object, slot);
    if (sealed && mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    /* Other threads go through the slot meanwhile. That they find the agent's code there says nothing of its data: what
     * its functions read they acquire by gv_state, as everyone does. */
    atomic_store_explicit(word, function, memory_order_release);
    if (sealed) {
        mprotect(page, page_bytes, PROT_READ);
    }
    return true;
}

static int patch(const struct gv_object *object, const struct tables *tables, const ElfW(Rela) * entries,
                 size_t bytes) {
    int count = 0;
    for (size_t i = 0; entries && i < bytes / sizeof *entries; i++) {
        const ElfW(Rela) *entry = &entries[i];
        size_t symbol = ELF64_R_SYM(entry->r_info);
        if (!symbol || !IS_SLOT(ELF64_R_TYPE(entry->r_info)) ||
            tables->symbols[symbol].st_name >= tables->names_bytes) {
            continue;
        }
        void *function = wanted(tables->names + tables->symbols[symbol].st_name);
        count += function && lead(object, object->bias + entry->r_offset, function);
    }
    return count;
}

int gv_got_patch(const struct gv_object *object) {
    struct tables tables;
    if (!find_tables(object, &tables)) {
        return 0;
    }
    return patch(object, &tables, tables.slots, tables.slot_bytes) +
           patch(object, &tables, tables.others, tables.other_bytes);
}
