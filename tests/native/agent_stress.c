/* A program that uses a real ggml as roughly as programs do: from many threads, in forks, loaded and unloaded.
 *
 *     agent_stress threads|fork|reload COUNT LIBRARY…
 *     agent_stress unload COUNT LIBRARY… OTHER
 *     agent_stress copies COUNT LIBRARY… + LIBRARY…
 *
 * The libraries are ggml's, dependencies first; OTHER is one that can be unloaded; after the + come those of another
 * ggml, which computes at the same time. Prints how many runs there were in all, how many nodes each has, how many
 * threads worked on it, and by how many kB the memory of its own has grown since a tenth of all was done. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#define WIDTH 32
#define LAYERS 3
#define AT_ONCE 4
#define RUNS_PER_LOAD 3

#define FUNCTIONS(X)                                                                                                   \
    X(ggml_init)                                                                                                       \
    X(ggml_free)                                                                                                       \
    X(ggml_new_tensor_2d)                                                                                              \
    X(ggml_mul_mat)                                                                                                    \
    X(ggml_add)                                                                                                        \
    X(ggml_new_graph)                                                                                                  \
    X(ggml_graph_n_nodes)                                                                                              \
    X(ggml_build_forward_expand)                                                                                       \
    X(ggml_tensor_overhead)                                                                                            \
    X(ggml_graph_overhead)                                                                                             \
    X(ggml_backend_alloc_ctx_tensors)                                                                                  \
    X(ggml_backend_buffer_free)                                                                                        \
    X(ggml_backend_tensor_set)                                                                                         \
    X(ggml_backend_tensor_get)                                                                                         \
    X(ggml_backend_graph_compute)                                                                                      \
    X(ggml_backend_free)                                                                                               \
    X(ggml_backend_cpu_init)                                                                                           \
    X(ggml_backend_cpu_set_n_threads)

#define DECLARE(name) __typeof__(name) *name##_;
struct ggml {
    void *handles[4];
    char **paths;
    int library_count;
    FUNCTIONS(DECLARE)
};
static struct ggml first, second;
static int count;

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void *function(const struct ggml *ggml, const char *name) {
    for (int i = ggml->library_count; i-- > 0;) {
        void *address = dlsym(ggml->handles[i], name);
        if (address) {
            return address;
        }
    }
    fprintf(stderr, "no %s\n", name);
    abort();
}

static void load(struct ggml *ggml) {
    for (int i = 0; i < ggml->library_count; i++) {
        ggml->handles[i] = dlopen(ggml->paths[i], RTLD_NOW | RTLD_LOCAL);
        if (!ggml->handles[i]) {
            fprintf(stderr, "%s\n", dlerror());
            abort();
        }
    }
#define FIND(name) *(void **)&ggml->name##_ = function(ggml, #name);
    FUNCTIONS(FIND)
}

/* Returns whether they are really gone. */
static bool unload(const struct ggml *ggml) {
    for (int i = ggml->library_count; i-- > 0;) {
        MUST(dlclose(ggml->handles[i]) == 0);
    }
    return dlopen(ggml->paths[ggml->library_count - 1], RTLD_NOW | RTLD_NOLOAD) == NULL;
}

/* Memory that is this process's own, in kB. */
static long own_memory(void) {
    FILE *file = fopen("/proc/self/status", "r");
    MUST(file);
    char line[256];
    long kilobytes = 0;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "RssAnon: %ld", &kilobytes);
    }
    fclose(file);
    return kilobytes;
}

static long memory_at_first, memory_grown;

/* To be called after each of `count` rounds. */
static void note_memory(int round) {
    if (round == count / 10) {
        memory_at_first = own_memory();
    } else if (round == count - 1) {
        memory_grown = own_memory() - memory_at_first;
    }
}

/* Makes a graph, computes it so many times, checks what came out, and frees everything. Returns its nodes. */
static int compute(const struct ggml *ggml, int runs, int threads) {
    struct ggml_init_params params = {
        .mem_size = 64 * ggml->ggml_tensor_overhead_() + ggml->ggml_graph_overhead_(),
        .no_alloc = true,
    };
    struct ggml_context *context = ggml->ggml_init_(params);
    ggml_backend_t backend = ggml->ggml_backend_cpu_init_();
    MUST(context && backend);
    ggml->ggml_backend_cpu_set_n_threads_(backend, threads);
    struct ggml_tensor *one = ggml->ggml_new_tensor_2d_(context, GGML_TYPE_F32, WIDTH, WIDTH), *sum = one;
    for (int i = 0; i < LAYERS; i++) {
        sum = ggml->ggml_add_(context, ggml->ggml_mul_mat_(context, one, sum), one);
    }
    struct ggml_cgraph *graph = ggml->ggml_new_graph_(context);
    ggml->ggml_build_forward_expand_(graph, sum);
    ggml_backend_buffer_t buffer = ggml->ggml_backend_alloc_ctx_tensors_(context, backend);
    MUST(buffer);
    float values[WIDTH * WIDTH], expected = 1;
    for (int i = 0; i < WIDTH * WIDTH; i++) {
        values[i] = i / WIDTH == i % WIDTH;
    }
    ggml->ggml_backend_tensor_set_(one, values, 0, sizeof values);
    for (int i = 0; i < runs; i++) {
        MUST(ggml->ggml_backend_graph_compute_(backend, graph) == GGML_STATUS_SUCCESS);
    }
    ggml->ggml_backend_tensor_get_(sum, values, 0, sizeof values);
    for (int i = 0; i < LAYERS; i++) {
        expected += 1;
    }
    MUST(values[0] == expected && values[1] == 0 && values[WIDTH + 1] == expected);
    int nodes = ggml->ggml_graph_n_nodes_(graph);
    ggml->ggml_backend_buffer_free_(buffer);
    ggml->ggml_backend_free_(backend);
    ggml->ggml_free_(context);
    return nodes;
}

static void *compute_in_thread(void *threads) {
    compute(&first, 1, (int)(intptr_t)threads);
    return NULL;
}

static _Atomic bool unloaded;
static _Atomic int long_runs;

static void *compute_for_long(void *nothing) {
    while (!atomic_load(&unloaded)) {
        compute(&first, 10, 1);
        atomic_fetch_add(&long_runs, 10);
    }
    return nothing;
}

static void *compute_often(void *ggml) {
    for (int i = 0; i < count; i++) {
        compute(ggml, 2, 1);
    }
    return NULL;
}

/* Threads that live for one run. */
static int on_threads(int threads) {
    for (int wave = 0; wave < count; wave++) {
        pthread_t started[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            MUST(pthread_create(&started[i], NULL, compute_in_thread, (void *)(intptr_t)threads) == 0);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            pthread_join(started[i], NULL);
        }
        note_memory(wave);
    }
    return count * AT_ONCE;
}

static void wait_for(pid_t child) {
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

/* Parent, children and grandchildren compute, several at once; some end by _exit. With one thread: OpenMP does not
 * survive a fork. */
static int in_forks(void) {
    compute(&first, 2, 1);
    for (int round = 0; round < count; round++) {
        pid_t children[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            children[i] = fork();
            MUST(children[i] >= 0);
            if (children[i] == 0) {
                compute(&first, 3, 1);
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    compute(&first, 5, 1);
                    _exit(0);
                }
                wait_for(grandchild);
                compute(&first, 1, 1);
                if (i % 2) {
                    _exit(0);
                }
                exit(0);
            }
        }
        compute(&first, 1, 1);
        for (int i = 0; i < AT_ONCE; i++) {
            wait_for(children[i]);
        }
        note_memory(round);
    }
    return 2 + count * (AT_ONCE * (3 + 5 + 1) + 1);
}

/* ggml leaves its handler behind when it is unloaded, and aborts when it finds it again where it was before. */
static void remove_terminate_handler(void) {
    void *library = dlopen("libstdc++.so.6", RTLD_NOW);
    MUST(library);
    void (*(*set_terminate)(void (*)(void)))(void);
    *(void **)&set_terminate = dlsym(library, "_ZSt13set_terminatePFvvE");
    set_terminate(abort);
}

static int reloaded(void) {
    for (int i = 0; i < count; i++) {
        compute(&first, RUNS_PER_LOAD, 1);
        MUST(unload(&first));
        remove_terminate_handler();
        load(&first);
        note_memory(i);
    }
    return count * RUNS_PER_LOAD;
}

/* Another library comes and goes while threads compute: what is known of the others is looked up anew. */
static int while_unloading(const char *other) {
    pthread_t started[2];
    for (int i = 0; i < 2; i++) {
        MUST(pthread_create(&started[i], NULL, compute_for_long, NULL) == 0);
    }
    for (int i = 0; i < count; i++) {
        void *handle = dlopen(other, RTLD_NOW | RTLD_LOCAL);
        MUST(handle && dlclose(handle) == 0);
        MUST(!dlopen(other, RTLD_NOW | RTLD_NOLOAD));
        remove_terminate_handler();
        usleep(2000);
    }
    atomic_store(&unloaded, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(started[i], NULL);
    }
    return atomic_load(&long_runs);
}

/* Two copies of ggml compute at once, each on two threads of its own. */
static int in_copies(void) {
    struct ggml *copies[] = {&first, &second, &first, &second};
    pthread_t started[4];
    load(&second);
    for (int i = 0; i < 4; i++) {
        MUST(pthread_create(&started[i], NULL, compute_often, copies[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(started[i], NULL);
    }
    return 4 * count * 2;
}

int main(int argc, char **argv) {
    const char *scenario = argv[1];
    count = atoi(argv[2]);
    bool unload_other = strcmp(scenario, "unload") == 0;
    first.paths = argv + 3;
    first.library_count = argc - 3 - unload_other;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "+") == 0) {
            first.library_count = i - 3;
            second.paths = argv + i + 1;
            second.library_count = argc - i - 1;
        }
    }
    load(&first);
    int threads = 1, runs = 0;
    if (strcmp(scenario, "threads") == 0) {
        threads = 2;
        runs = on_threads(threads);
    } else if (unload_other) {
        runs = while_unloading(argv[argc - 1]);
    } else if (strcmp(scenario, "copies") == 0) {
        runs = in_copies();
    } else if (strcmp(scenario, "fork") == 0) {
        runs = in_forks();
    } else if (strcmp(scenario, "reload") == 0) {
        runs = reloaded();
    }
    printf("%d %d %d %ld\n", runs, 2 * LAYERS, threads, memory_grown);
}
