/* Reading a Mach-O image: where it lies, what it imports, from which library.
 *
 * The few structures that this takes are written down here, so that it can be tried on files on any system. Nothing
 * that an image says of itself is believed: every range is checked. */
#ifndef GV_MACHO_H
#define GV_MACHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gv_macho_header {
    uint32_t magic, cpu, cpu_subtype, file_type, command_count, command_bytes, flags, reserved;
};

#define GV_MACHO_MAGIC 0xfeedfacfu
#define GV_MACHO_EXECUTE 2u
#define GV_MACHO_IN_CACHE 0x80000000u /* a flag: of the libraries that come with the system */

struct gv_macho_command {
    uint32_t kind, bytes;
};

struct gv_macho_segment { /* command 0x19; its sections follow */
    uint32_t kind, bytes;
    char name[16];
    uint64_t address, size, file_offset, file_size;
    uint32_t max_protection, protection, section_count, flags;
};

struct gv_macho_section {
    char name[16], segment[16];
    uint64_t address, size;
    uint32_t offset, align, relocations, relocation_count, flags;
    uint32_t first_indirect, reserved2, reserved3;
};

struct gv_macho_symtab { /* command 0x2 */
    uint32_t kind, bytes, symbols, symbol_count, names, names_bytes;
};

struct gv_macho_dysymtab { /* command 0xb */
    uint32_t kind, bytes, others[12], indirect, indirect_count, more[4];
};

struct gv_macho_dylib { /* commands 0xc, 0xd and others; the name lies in the command */
    uint32_t kind, bytes, name, timestamp, version, compatible;
};

struct gv_macho_symbol {
    uint32_t name;
    uint8_t type, section;
    uint16_t description;
    uint64_t value;
};

struct gv_macho {
    const uint8_t *base;     /* of the header */
    uint64_t size;           /* of the file, if it is one */
    bool mapped;             /* by the dynamic linker, and no file */
    uint64_t low, high;      /* of all segments, as the file has addresses */
    uint64_t commands_bytes; /* behind the header */
    uint32_t file_type, flags;
    struct gv_macho_symtab symtab;
    struct gv_macho_dysymtab dysymtab;
};

/* Where an import comes from: the number of a dependency, from 1, or one of these. */
enum { GV_MACHO_SELF = 0, GV_MACHO_MAIN = -1, GV_MACHO_FLAT = -2 };

struct gv_macho_import {
    uint64_t slot;    /* where the pointer lies, as the file has addresses */
    const char *name; /* as in C, without the underscore that Mach-O puts before it */
    int library;
    bool lazy; /* bound at the first call, by some dynamic linkers */
};

/* Looks at an image: a file of `size` bytes, or (`mapped`; `size` is not used) what lies in memory from its header on.
 * False: it is none of 64 bits, or damaged. */
bool gv_macho_open(struct gv_macho *image, const void *base, uint64_t size, bool mapped);

/* Calls `visit` for every pointer that calls of other images' functions go through. Both formats in which the dynamic
 * linker is told of imports (opcodes, chained fixups) have these pointers in sections of their own, whose symbols one
 * table lists. False: the table is damaged, and what was visited not all. */
bool gv_macho_imports(const struct gv_macho *image, void (*visit)(const struct gv_macho_import *import, void *context),
                      void *context);

/* The name by which dependency `library` was linked, or (0) the image's own. NULL: there is none. */
const char *gv_macho_library(const struct gv_macho *image, int library);

#endif
