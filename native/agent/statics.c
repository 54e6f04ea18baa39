/* ggml's functions in an object by its own symbol table, where no call to them passes the dynamic linker.
 *
 * The table is not loaded with the program, so the file is read. It is the file that was loaded only if the code at
 * the functions found is the same in memory. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/objects.h"

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

static bool read_symbols(const struct file *file, const struct gv_object *object, struct gv_statics *out) {
    const ElfW(Shdr) *table = symbol_section(file);
    const ElfW(Shdr) *text = table ? section(file, table->sh_link) : NULL;
    const ElfW(Sym) *symbols =
        table && table->sh_offset % 8 == 0 ? range(file, table->sh_offset, table->sh_size) : NULL;
    const char *names = text ? range(file, text->sh_offset, text->sh_size) : NULL;
    /* Most programs have nothing to do with ggml: one look at the names tells. */
    if (!symbols || !names || !text->sh_size || names[text->sh_size - 1] != '\0' ||
        !memmem(names, text->sh_size, "ggml_graph_compute", 18)) {
        return false;
    }
    bool any = false;
    for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
        const ElfW(Sym) *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
            symbol->st_name >= text->sh_size || !may_be_ours(names + symbol->st_name)) {
            continue;
        }
        uintptr_t address = object->bias + symbol->st_value;
        int hook = find(hook_names, GV_HOOK_COUNT, names + symbol->st_name);
        int api = find(api_names, GV_API_COUNT, names + symbol->st_name);
        if ((hook < 0 && api < 0) || !in_text(object, address)) {
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
