/* Prints what the agent's reader of Mach-O finds in a file: slot, name, library and whether it is bound late, a line
 * each. With `mapped`, in what the dynamic linker would make of the file in memory; with `hostile N`, in N damaged
 * copies, of which nothing is printed.
 * With `rebound`, calls are led to the agent in that memory, and only they: their names are printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "agent/macos/images.h"
#include "agent/macos/macho.h"

#define CHECK(condition)                                                                                               \
    ((condition) ? (void)0 : (fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition), abort()))

static void print(const struct gv_macho_import *import, void *context) {
    const char *library = gv_macho_library(context, import->library);
    printf("%llx %s %s %d\n", (unsigned long long)import->slot, import->name,
           import->library > 0 && library ? library : "-", import->lazy);
}

static size_t seen;

static void look(const struct gv_macho_import *import, void *context) {
    const char *library = gv_macho_library(context, import->library);
    seen += strlen(import->name) + (library ? strlen(library) : 0);
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size);
    CHECK(data && fread(data, 1, *size, file) == *size);
    fclose(file);
    return data;
}

/* The segments, each where it belongs relative to the first. */
static uint8_t *map_segments(const struct gv_macho *image) {
    uint8_t *memory = mmap(NULL, image->high - image->low, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    const uint8_t *command = image->base + sizeof(struct gv_macho_header);
    for (uint64_t left = image->commands_bytes; left;) {
        struct gv_macho_segment segment;
        memcpy(&segment, command, sizeof segment < left ? sizeof segment : left);
        if (segment.kind == 0x19 && segment.max_protection) {
            memcpy(memory + (segment.address - image->low), image->base + segment.file_offset, segment.file_size);
        }
        command += segment.bytes;
        left -= segment.bytes;
    }
    return memory;
}

/* --- rebinding --- */

#define DEFINE(name)                                                                                                   \
    void name(void) {                                                                                                  \
    }
GV_HOOKS(DEFINE)
#define FUNCTION(name) {#name, (void *)name},
static const struct {
    const char *name;
    void *function;
} hooks[] = {GV_HOOKS(FUNCTION)};

#define BOUND 0x5000000u /* whatever a pointer led to */

static void *_Atomic *slot_of(const struct gv_macho_import *import, const struct gv_macho *image) {
    return (void *_Atomic *)(image->base + (import->slot - image->low));
}

/* One function is missing, and what can be bound late is not bound yet. */
static void *before(const struct gv_macho_import *import, const struct gv_macho *image) {
    if (strcmp(import->name, "ggml_backend_sched_new") == 0) {
        return NULL;
    }
    return import->lazy ? (void *)(image->base + 64) : (void *)(uintptr_t)(BOUND + import->slot);
}

static void fill(const struct gv_macho_import *import, void *context) {
    *slot_of(import, context) = before(import, context);
}

struct outcome {
    const struct gv_macho *image;
    void *originals[GV_HOOK_COUNT];
};

static void check(const struct gv_macho_import *import, void *context) {
    const struct outcome *outcome = context;
    void *was = before(import, outcome->image), *is = *slot_of(import, outcome->image);
    bool is_end = strcasecmp(import->name, "_exit") == 0 || strncmp(import->name, "exec", 4) == 0;
    for (int i = 0; was && i < GV_HOOK_COUNT; i++) {
        if (strcmp(import->name, hooks[i].name) == 0) {
            CHECK(is == hooks[i].function);
            CHECK(outcome->originals[i] == (import->lazy ? NULL : was));
            printf("%s\n", import->name);
            return;
        }
    }
    CHECK(is_end ? is != was : is == was);
}

static void try_rebinding(const struct gv_macho *image) {
    struct outcome outcome = {.image = image};
    CHECK(gv_macho_imports(image, fill, (void *)image));
    CHECK(mprotect((void *)image->base, image->high - image->low, PROT_READ) == 0);
    gv_rebind(image, outcome.originals);
    CHECK(gv_macho_imports(image, check, &outcome));
}

/* --- hostile files --- */

static void damage(uint8_t *data, size_t size) {
    static const uint32_t values[] = {0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0};
    size_t reach = size < 4096 || rand() % 4 == 0 ? size : 4096; /* mostly the commands */
    for (int i = rand() % 4; i >= 0; i--) {
        size_t at = (size_t)rand() % (reach - 4);
        if (rand() % 2) {
            memcpy(data + (at & ~(size_t)3), &values[rand() % 7], 4);
        } else {
            data[at] = (uint8_t)rand();
        }
    }
}

static void try_hostile(const uint8_t *data, size_t size, int count) {
    for (int i = 0; i < count; i++) {
        /* Exactly as long as it says, so that a byte beyond is noticed; sometimes cut short. */
        size_t length = rand() % 8 ? size : (size_t)rand() % size + 1;
        uint8_t *copy = malloc(length);
        CHECK(copy);
        memcpy(copy, data, length);
        if (length > 64) {
            damage(copy, length);
        }
        struct gv_macho image;
        if (gv_macho_open(&image, copy, length, false)) {
            gv_macho_imports(&image, look, &image);
        }
        free(copy);
    }
}

int main(int count, char **arguments) {
    CHECK(count >= 2);
    size_t size;
    uint8_t *data = read_file(arguments[1], &size);
    struct gv_macho image;
    CHECK(gv_macho_open(&image, data, size, false));
    const char *mode = count > 2 ? arguments[2] : "file";
    if (strcmp(mode, "hostile") == 0) {
        CHECK(count == 4);
        try_hostile(data, size, atoi(arguments[3]));
        free(data);
        return 0;
    }
    if (strcmp(mode, "file") != 0) {
        CHECK(gv_macho_open(&image, map_segments(&image), 0, true));
    }
    if (strcmp(mode, "rebound") == 0) {
        try_rebinding(&image);
    } else {
        CHECK(gv_macho_imports(&image, print, &image));
    }
    free(data);
    return 0;
}
