/* Reading a Mach-O image; see the header. */
#include "agent/macos/macho.h"

#include <string.h>

#define SEGMENT 0x19u
#define SYMTAB 0x2u
#define DYSYMTAB 0xbu
#define LOAD_DYLIB 0xcu
#define ID_DYLIB 0xdu
#define LAZY_LOAD_DYLIB 0x20u
#define LOAD_WEAK_DYLIB 0x80000018u
#define REEXPORT_DYLIB 0x8000001fu
#define LOAD_UPWARD_DYLIB 0x80000023u

#define SECTION_TYPE 0xffu
#define POINTERS 6u
#define LAZY_POINTERS 7u

#define INDIRECT_LOCAL 0x80000000u
#define INDIRECT_ABSOLUTE 0x40000000u

#define SYMBOL_TYPE 0x0eu
#define SYMBOL_DEBUG 0xe0u
#define READABLE 1u

/* Load commands, one after the other. */
struct walk {
    const uint8_t *at;
    uint64_t left;
};

static struct walk commands(const struct gv_macho *image) {
    return (struct walk){image->base + sizeof(struct gv_macho_header), image->commands_bytes};
}

/* The next command, with what is common to all in `head`; NULL: there is none, or it is damaged. */
static const uint8_t *next(struct walk *walk, struct gv_macho_command *head) {
    if (walk->left < sizeof *head) {
        return NULL;
    }
    memcpy(head, walk->at, sizeof *head);
    if (head->bytes < sizeof *head || head->bytes > walk->left) {
        walk->left = 0;
        return NULL;
    }
    const uint8_t *command = walk->at;
    walk->at += head->bytes;
    walk->left -= head->bytes;
    return command;
}

/* Copies a command, of which `bytes` are needed. */
static bool take(void *out, const uint8_t *command, const struct gv_macho_command *head, size_t bytes) {
    if (head->bytes < bytes) {
        return false;
    }
    memcpy(out, command, bytes);
    return true;
}

static bool is_inside(uint64_t at, uint64_t length, uint64_t low, uint64_t size) {
    return at >= low && at - low <= size && length <= size - (at - low);
}

/* `length` bytes of what a file has at `offset`, wherever that lies. NULL: nowhere. */
static const uint8_t *at_offset(const struct gv_macho *image, uint64_t offset, uint64_t length) {
    if (!image->mapped) {
        return is_inside(offset, length, 0, image->size) ? image->base + offset : NULL;
    }
    struct walk walk = commands(image);
    struct gv_macho_command head;
    for (const uint8_t *command; (command = next(&walk, &head));) {
        struct gv_macho_segment segment;
        if (head.kind == SEGMENT && take(&segment, command, &head, sizeof segment) && segment.protection & READABLE &&
            is_inside(offset, length, segment.file_offset, segment.file_size) && segment.file_size <= segment.size) {
            return image->base + (segment.address - image->low) + (offset - segment.file_offset);
        }
    }
    return NULL;
}

bool gv_macho_open(struct gv_macho *image, const void *base, uint64_t size, bool mapped) {
    *image = (struct gv_macho){.base = base, .size = size, .mapped = mapped, .low = UINT64_MAX};
    struct gv_macho_header header;
    if (!mapped && size < sizeof header) {
        return false;
    }
    memcpy(&header, base, sizeof header);
    if (header.magic != GV_MACHO_MAGIC || (!mapped && header.command_bytes > size - sizeof header)) {
        return false;
    }
    image->commands_bytes = header.command_bytes;
    image->file_type = header.file_type;
    image->flags = header.flags;
    uint64_t first = UINT64_MAX; /* where the segment begins that the header is in */
    struct walk walk = commands(image);
    struct gv_macho_command head;
    for (const uint8_t *command; (command = next(&walk, &head));) {
        struct gv_macho_segment segment;
        if (head.kind == SYMTAB && !take(&image->symtab, command, &head, sizeof image->symtab)) {
            return false;
        }
        if (head.kind == DYSYMTAB && !take(&image->dysymtab, command, &head, sizeof image->dysymtab)) {
            return false;
        }
        if (head.kind != SEGMENT) {
            continue;
        }
        if (!take(&segment, command, &head, sizeof segment) || segment.address + segment.size < segment.address) {
            return false;
        }
        if (!segment.max_protection || !segment.size) {
            continue; /* what a program keeps free below itself */
        }
        uint64_t end = segment.address + segment.size;
        if (segment.file_offset == 0 && segment.file_size) {
            first = segment.address;
        }
        image->low = segment.address < image->low ? segment.address : image->low;
        image->high = end > image->high ? end : image->high;
    }
    return image->low != UINT64_MAX && first == image->low;
}

const char *gv_macho_library(const struct gv_macho *image, int library) {
    int number = 0;
    struct walk walk = commands(image);
    struct gv_macho_command head;
    for (const uint8_t *command; (command = next(&walk, &head));) {
        struct gv_macho_dylib dylib;
        bool is_own = head.kind == ID_DYLIB;
        bool is_other = head.kind == LOAD_DYLIB || head.kind == LOAD_WEAK_DYLIB || head.kind == REEXPORT_DYLIB ||
                        head.kind == LAZY_LOAD_DYLIB || head.kind == LOAD_UPWARD_DYLIB;
        number += is_other;
        if ((is_own && library == GV_MACHO_SELF) || (is_other && library == number)) {
            bool good = take(&dylib, command, &head, sizeof dylib) && dylib.name < head.bytes &&
                        memchr(command + dylib.name, '\0', head.bytes - dylib.name);
            return good ? (const char *)command + dylib.name : NULL;
        }
    }
    return NULL;
}

struct symbols {
    const uint8_t *list, *indirect;
    const char *names;
    uint32_t count, names_bytes, indirect_count;
};

static bool find_symbols(const struct gv_macho *image, struct symbols *out) {
    const struct gv_macho_symtab *s = &image->symtab;
    const struct gv_macho_dysymtab *d = &image->dysymtab;
    out->count = s->symbol_count;
    out->names_bytes = s->names_bytes;
    out->indirect_count = d->indirect_count;
    out->list = at_offset(image, s->symbols, (uint64_t)s->symbol_count * sizeof(struct gv_macho_symbol));
    out->names = (const char *)at_offset(image, s->names, s->names_bytes);
    out->indirect = at_offset(image, d->indirect, (uint64_t)d->indirect_count * sizeof(uint32_t));
    return out->list && out->names && out->indirect;
}

/* The symbol of entry `index` in the table that lists those of pointers. False: it has none of another image. */
static bool read_import(const struct symbols *symbols, uint64_t index, struct gv_macho_import *out) {
    uint32_t number;
    memcpy(&number, symbols->indirect + index * sizeof number, sizeof number);
    if (number & (INDIRECT_LOCAL | INDIRECT_ABSOLUTE) || number >= symbols->count) {
        return false;
    }
    struct gv_macho_symbol symbol;
    memcpy(&symbol, symbols->list + (uint64_t)number * sizeof symbol, sizeof symbol);
    if (symbol.type & (SYMBOL_DEBUG | SYMBOL_TYPE) || symbol.name >= symbols->names_bytes) {
        return false;
    }
    const char *name = symbols->names + symbol.name;
    if (name[0] != '_' || !memchr(name, '\0', symbols->names_bytes - symbol.name)) {
        return false;
    }
    out->name = name + 1;
    out->library = symbol.description >> 8;
    if (out->library >= 0xfe) {
        out->library -= 0x100; /* GV_MACHO_FLAT, GV_MACHO_MAIN */
    }
    return true;
}

static bool visit_section(const struct gv_macho *image, const struct symbols *symbols,
                          const struct gv_macho_section *section,
                          void (*visit)(const struct gv_macho_import *import, void *context), void *context) {
    uint32_t type = section->flags & SECTION_TYPE;
    if (type != POINTERS && type != LAZY_POINTERS) {
        return true;
    }
    uint64_t count = section->size / sizeof(uint64_t);
    if (section->address % sizeof(uint64_t) ||
        !is_inside(section->address, section->size, image->low, image->high - image->low) ||
        !is_inside(section->first_indirect, count, 0, symbols->indirect_count)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct gv_macho_import import = {.slot = section->address + i * sizeof(uint64_t),
                                         .lazy = type == LAZY_POINTERS};
        if (read_import(symbols, section->first_indirect + i, &import)) {
            visit(&import, context);
        }
    }
    return true;
}

bool gv_macho_imports(const struct gv_macho *image, void (*visit)(const struct gv_macho_import *import, void *context),
                      void *context) {
    struct symbols symbols;
    if (!find_symbols(image, &symbols)) {
        return false;
    }
    bool good = true;
    struct walk walk = commands(image);
    struct gv_macho_command head;
    for (const uint8_t *command; (command = next(&walk, &head));) {
        struct gv_macho_segment segment;
        if (head.kind != SEGMENT || !take(&segment, command, &head, sizeof segment)) {
            continue;
        }
        if (segment.section_count > (head.bytes - sizeof segment) / sizeof(struct gv_macho_section)) {
            return false;
        }
        for (uint32_t i = 0; i < segment.section_count; i++) {
            struct gv_macho_section section;
            memcpy(&section, command + sizeof segment + i * sizeof section, sizeof section);
            good = visit_section(image, &symbols, &section, visit, context) && good;
        }
    }
    return good;
}
