/* ggml's functions in an object by its own symbol table, where no call to them passes the dynamic linker.
 *
 * The table is not loaded with the program, so the file is read. It is the file that was loaded only if the code at
 * the functions found is the same in memory. */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/linux/objects.h"

#define COMPARED_BYTES 16u

#define NAME_OF(name) #name,
static const char *const hook_names[] = {GV_HOOKS(NAME_OF)};
static const char *const api_names[] = {GV_APIS(NAME_OF)};

/* A file in memory; every range is checked against its size. */
struct file {
    const uint8_t *data;
    size_t size;
};

static const void *range(const struct file *file, uint64_t offset, uint64_t length) {
    return offset <= file->size && length <= file->size - offset ? file->data + offset : NULL;
}

static bool open_file(const char *path, struct file *file) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        return false;
    }
    void *data = MAP_FAILED;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (data == MAP_FAILED) {
        return false;
    }
    *file = (struct file){data, (size_t)status.st_size};
    return true;
}

static const ElfW(Shdr) * section(const struct file *file, uint64_t index) {
    const ElfW(Ehdr) *head = range(file, 0, sizeof *head);
    if (!head || head->e_shentsize != sizeof(ElfW(Shdr)) || head->e_shoff % 8 || index >= head->e_shnum) {
        return NULL;
    }
    return range(file, head->e_shoff + index * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr)));
}

static const ElfW(Shdr) * symbol_section(const struct file *file) {
    const ElfW(Ehdr) *head = range(file, 0, sizeof *head);
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) {
        return NULL;
    }
    for (uint64_t i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *s = section(file, i);
        if (s && s->sh_type == SHT_SYMTAB) {
            return s;
        }
    }
    return NULL;
}

static bool in_text(const struct gv_object *object, uintptr_t address) {
    for (uint32_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && address - (object->bias + p->p_vaddr) < p->p_filesz) {
            return true;
        }
    }
    return false;
}

/* The code at a function, as the file has it. */
static const void *code_in_file(const struct file *file, const struct gv_object *object, uintptr_t address) {
    for (uint32_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *p = &object->segments[i];
        uintptr_t inside = address - (object->bias + p->p_vaddr);
        if (p->p_type == PT_LOAD && inside < p->p_filesz && p->p_filesz - inside >= COMPARED_BYTES) {
            return range(file, p->p_offset + inside, COMPARED_BYTES);
        }
    }
    return NULL;
}

static int find(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Told at a glance: programs have a hundred thousand names. */
static bool may_be_ours(const char *name) {
    return strncmp(name, "ggml_", 5) == 0 || strcmp(name, "GOMP_barrier") == 0 || strcmp(name, "__kmpc_barrier") == 0;
}

struct symbols {
    const ElfW(Sym) * list;
    uint64_t count;
    const char *names;
    uint64_t names_bytes;
};

static bool find_symbols(const struct file *file, struct symbols *out) {
    const ElfW(Shdr) *table = symbol_section(file);
    const ElfW(Shdr) *text = table ? section(file, table->sh_link) : NULL;
    if (!text || table->sh_offset % 8 || !text->sh_size) {
        return false;
    }
    out->list = range(file, table->sh_offset, table->sh_size);
    out->count = table->sh_size / sizeof *out->list;
    out->names = range(file, text->sh_offset, text->sh_size);
    out->names_bytes = text->sh_size;
    return out->list && out->names && out->names[out->names_bytes - 1] == '\0';
}

/* The name of a function that the object itself has; NULL: it is none. */
static const char *function_name(const struct symbols *symbols, uint64_t index) {
    const ElfW(Sym) *symbol = &symbols->list[index];
    bool is_function = ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
                       symbol->st_name < symbols->names_bytes;
    return is_function ? symbols->names + symbol->st_name : NULL;
}

/* Parts of a function that a compiler has set apart have a dot in their names. */
static bool is_kernel(const char *name) {
    return strncmp(name, "ggml_compute_forward_", 21) == 0 && !strchr(name, '.');
}

static bool read_symbols(const struct file *file, const struct gv_object *object, struct gv_statics *out) {
    struct symbols symbols;
    /* Most programs have nothing to do with ggml: one look at the names tells. */
    if (!find_symbols(file, &symbols) || !memmem(symbols.names, symbols.names_bytes, "ggml_graph_compute", 18)) {
        return false;
    }
    bool any = false;
    for (uint64_t i = 0; i < symbols.count; i++) {
        const char *name = function_name(&symbols, i);
        uintptr_t address = object->bias + symbols.list[i].st_value;
        if (!name || !may_be_ours(name) || !in_text(object, address)) {
            continue;
        }
        int hook = find(hook_names, GV_HOOK_COUNT, name), api = find(api_names, GV_API_COUNT, name);
        if (hook < 0 && is_kernel(name) && out->kernel_count < GV_KERNELS) {
            out->kernels[out->kernel_count++] = (void *)address;
        }
        if (hook < 0 && api < 0) {
            continue;
        }
        const void *code = code_in_file(file, object, address);
        if (!code || memcmp(code, (const void *)address, COMPARED_BYTES) != 0) {
            return false;
        }
        if (hook >= 0) {
            out->hooks[hook] = (void *)address;
            any = true;
        }
        if (api >= 0) {
            out->apis[api] = (void *)address;
        }
    }
    return any;
}

bool gv_statics_read(const struct gv_object *object, struct gv_statics *out) {
    struct file file;
    if (!object->path || !open_file(object->path, &file)) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->low = object->low;
    ssize_t length = readlink(object->path, out->path, sizeof out->path - 1);
    if (length < 0) {
        strncpy(out->path, object->path, sizeof out->path - 1);
    }
    bool good = read_symbols(&file, object, out);
    munmap((void *)file.data, file.size);
    return good;
}

bool gv_statics_function(const struct gv_object *object, uintptr_t address, uintptr_t *low, uintptr_t *high) {
    struct file file;
    struct symbols symbols;
    bool found = false;
    if (!open_file(object->path, &file)) {
        return false;
    }
    for (uint64_t i = 0; find_symbols(&file, &symbols) && i < symbols.count && !found; i++) {
        *low = object->bias + symbols.list[i].st_value;
        *high = *low + symbols.list[i].st_size;
        found = function_name(&symbols, i) && address >= *low && address < *high;
    }
    munmap((void *)file.data, file.size);
    return found;
}
