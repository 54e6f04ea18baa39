/* Decodes with llama.dll, and counts by itself: decode MODEL TOKENS, with the libraries' folder as the current one.
 *
 * Of llama.cpp's structs only what is passed on is needed, never what is in them: on Windows a struct of that size goes
 * by address, so that a piece of memory that is larger than it stands for any version's. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

struct any {
    _Alignas(16) char bytes[4096];
};

static HMODULE ggml, llama;
static unsigned nodes;

static bool count_node(void *nothing) {
    (void)nothing;
    nodes++;
    return false;
}

static void *function(HMODULE library, const char *name) {
    void *address = (void *)GetProcAddress(library, name);
    if (!address) {
        fprintf(stderr, "%s is missing\n", name);
        exit(2);
    }
    return address;
}

#define CALL(library, name, type) ((type)function(library, name))

/* The one library of the current folder whose name begins so. */
static HMODULE load(const char *pattern) {
    WIN32_FIND_DATAA found;
    HANDLE search = FindFirstFileA(pattern, &found);
    HMODULE library = search != INVALID_HANDLE_VALUE ? LoadLibraryA(found.cFileName) : NULL;
    if (!library) {
        fprintf(stderr, "%s cannot be loaded: %lu\n", pattern, GetLastError());
        exit(2);
    }
    return library;
}

static void ignore(int level, const char *text, void *nothing) {
    (void)level;
    (void)text;
    (void)nothing;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        return 2;
    }
    SetDllDirectoryA(".");
    llama = load("llama.v*.dll");
    ggml = load("ggml.v*.dll");
    CALL(llama, "llama_log_set", void (*)(void *, void *))((void *)ignore, NULL);
    CALL(ggml, "ggml_backend_load_all_from_path", void (*)(const char *))(".");
    CALL(llama, "llama_backend_init", void (*)(void))();
    struct any parameters = {0}, batch = {0};
    CALL(llama, "llama_model_default_params", void *(*)(void *))(&parameters);
    void *model = CALL(llama, "llama_model_load_from_file", void *(*)(const char *, void *))(argv[1], &parameters);
    if (!model) {
        fprintf(stderr, "the model cannot be loaded\n");
        return 1;
    }
    parameters = (struct any){0};
    CALL(llama, "llama_context_default_params", void *(*)(void *))(&parameters);
    void *context = CALL(llama, "llama_init_from_model", void *(*)(void *, void *))(model, &parameters);
    CALL(llama, "llama_set_n_threads", void (*)(void *, int, int))(context, 1, 1);
    CALL(llama, "llama_set_abort_callback", void (*)(void *, bool (*)(void *), void *))(context, count_node, NULL);
    printf("ready\n");
    fflush(stdout);
    int tokens = atoi(argv[2]), pause_ms = argc > 3 ? atoi(argv[3]) : 0, decoded = 0;
    for (int i = 0; i < tokens; i++) {
        int32_t token[4] = {1 + i, 2, 3, 4};
        int count = i == 0 ? 4 : 1; /* a prompt, then one by one */
        CALL(llama, "llama_batch_get_one", void *(*)(void *, int32_t *, int32_t))(&batch, token, count);
        decoded += CALL(llama, "llama_decode", int (*)(void *, void *))(context, &batch) == 0;
        Sleep((DWORD)pause_ms);
    }
    printf("decoded %d nodes %u\n", decoded, nodes);
    CALL(llama, "llama_free", void (*)(void *))(context);
    CALL(llama, "llama_model_free", void (*)(void *))(model);
    return 3;
}
