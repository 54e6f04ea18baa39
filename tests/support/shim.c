/* Counts what ggml computes in the process that preloads it: a second opinion on what a trace says.
 *
 * It knows ggml by its public headers alone and shares nothing with the agent. It stands in for the public functions
 * that compute a graph, and
 *   - counts a run for each outermost call of any of them on a thread;
 *   - where a backend is given a graph (ggml_graph_compute for the CPU, ggml_backend_graph_compute[_async] for every
 *     other) counts, by op, the nodes that the backend has to execute: those that compute something, are not empty,
 * and, in a ggml that marks them, carry the mark of nodes to be computed.
 *
 * Old versions of ggml, of before September 2024, have no function that returns a graph's nodes. For those
 * GGML_TRUTH_LAYOUT says where they are, "n_nodes nodes inline op" in bytes, as published in the ggml.h of that time:
 * `inline` is 1 where a graph holds the array of nodes itself, and 0 where it points to it. Without that, and where ops
 * have no names, nodes are not counted.
 *
 * At exit it writes to the file that GGML_TRUTH names, as JSON:
 *   [{"ggml": path of the object that computes, "version": …, "runs": n, "backends": {name: {"graphs": n, "ops": {op:
 * n}}}}] with an entry for each copy of ggml; a run belongs to the copy that its outermost call belongs to; the ops are
 * null where nodes are not counted.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

enum { MAX_COPIES = 8, MAX_BACKENDS = 8, MAX_OPS = 128, MAX_SITES = 64, MAX_NAME = 64 };

struct op_count {
    char name[MAX_NAME];
    long count;
};

struct backend_count {
    char name[MAX_NAME];
    long graphs;
    struct op_count ops[MAX_OPS];
};

/* Where an old ggml keeps a graph's nodes, and a node's op. */
struct layout {
    size_t n_nodes, nodes;
    int is_inline;
    size_t op;
};

/* One copy of ggml, known by its ggml_init. */
struct copy {
    void *identity;
    char path[4096];
    char version[MAX_NAME];
    bool marks; /* nodes to be computed carry GGML_TENSOR_FLAG_COMPUTE */
    long runs;
    struct backend_count backends[MAX_BACKENDS];
    int (*n_nodes)(struct ggml_cgraph *);
    struct ggml_tensor *(*node)(struct ggml_cgraph *, int);
    const char *(*op_desc)(const struct ggml_tensor *);
    const char *(*op_name)(int);
    bool counts_nodes;
    bool (*is_empty)(const struct ggml_tensor *);
    const char *(*backend_name)(ggml_backend_t);
};

/* An object that calls one of the functions below, and what it would have called without us. */
struct site {
    const void *caller; /* where its object begins */
    const char *symbol;
    void *original;
    struct copy *copy;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct copy copies[MAX_COPIES];
static struct site sites[MAX_SITES];
static struct layout old;
static _Thread_local int depth;

static void fail(const char *what) {
    fprintf(stderr, "counting shim: %s\n", what);
    abort();
}

static void *need(void *handle, const char *symbol) {
    void *found = dlsym(handle, symbol);
    if (!found)
        fail(symbol);
    return found;
}

/* Whether this ggml marks the nodes that a graph is built for: build one and look. */
static bool marks_nodes(void *handle) {
    struct ggml_context *(*init)(struct ggml_init_params) = need(handle, "ggml_init");
    void (*release)(struct ggml_context *) = need(handle, "ggml_free");
    struct ggml_tensor *(*new_tensor)(struct ggml_context *, enum ggml_type, int64_t) =
        need(handle, "ggml_new_tensor_1d");
    struct ggml_tensor *(*neg)(struct ggml_context *, struct ggml_tensor *) = need(handle, "ggml_neg");
    struct ggml_cgraph *(*new_graph)(struct ggml_context *) = need(handle, "ggml_new_graph");
    void (*expand)(struct ggml_cgraph *, struct ggml_tensor *) = need(handle, "ggml_build_forward_expand");

    struct ggml_context *context = init((struct ggml_init_params){.mem_size = 1 << 20, .no_alloc = true});
    struct ggml_tensor *node = neg(context, new_tensor(context, GGML_TYPE_F32, 1));
    expand(new_graph(context), node);
    bool marked = node->flags & GGML_TENSOR_FLAG_COMPUTE;
    release(context);
    return marked;
}

static struct copy *copy_of(void *handle) {
    void *identity = need(handle, "ggml_init");
    struct copy *copy = copies;
    for (; copy < copies + MAX_COPIES && copy->identity; copy++)
        if (copy->identity == identity)
            return copy;
    if (copy == copies + MAX_COPIES)
        fail("too many copies of ggml");
    Dl_info info;
    if (!dladdr(identity, &info))
        fail("dladdr");
    snprintf(copy->path, sizeof copy->path, "%s", info.dli_fname);
    const char *(*version)(void) = dlsym(handle, "ggml_version");
    snprintf(copy->version, sizeof copy->version, "%s", version ? version() : "");
    copy->n_nodes = dlsym(handle, "ggml_graph_n_nodes");
    copy->node = dlsym(handle, "ggml_graph_node");
    copy->op_desc = dlsym(handle, "ggml_op_desc");
    copy->op_name = dlsym(handle, "ggml_op_name");
    copy->is_empty = dlsym(handle, "ggml_is_empty");
    copy->backend_name = dlsym(handle, "ggml_backend_name");
    const char *layout = getenv("GGML_TRUTH_LAYOUT");
    bool told = !copy->n_nodes && layout &&
                sscanf(layout, "%zu %zu %d %zu", &old.n_nodes, &old.nodes, &old.is_inline, &old.op) == 4;
    copy->counts_nodes = (copy->n_nodes && copy->op_desc) || (told && (copy->op_desc || copy->op_name));
    /* The mark is younger than the functions above. */
    copy->marks = copy->n_nodes && marks_nodes(handle);
    copy->identity = identity;
    return copy;
}

/* What the caller at `address` would have called by the name of `symbol`. RTLD_NEXT alone does not find what was
 * loaded with RTLD_LOCAL, nor the right one of two copies. */
static struct site site_of(void *address, const char *symbol) {
    Dl_info info, program;
    if (!dladdr(address, &info) || !dladdr((void *)getauxval(AT_PHDR), &program))
        fail("a caller without an object");
    const void *caller = info.dli_fbase;

    pthread_mutex_lock(&lock);
    struct site *site = sites;
    while (site < sites + MAX_SITES && site->caller && (site->caller != caller || site->symbol != symbol))
        site++;
    if (site == sites + MAX_SITES)
        fail("too many callers");
    if (!site->caller) {
        bool by_program = caller == program.dli_fbase;
        void *handle = by_program ? RTLD_NEXT : dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        if (!handle)
            fail(dlerror());
        site->original = need(handle, symbol);
        site->copy = copy_of(handle);
        site->symbol = symbol;
        site->caller = caller;
        if (!by_program)
            dlclose(handle);
    }
    struct site found = *site;
    pthread_mutex_unlock(&lock);
    return found;
}

static int number_of_nodes(const struct copy *copy, struct ggml_cgraph *graph) {
    int count;
    if (copy->n_nodes)
        return copy->n_nodes(graph);
    memcpy(&count, (char *)graph + old.n_nodes, sizeof count);
    return count;
}

static const struct ggml_tensor *node_of(const struct copy *copy, struct ggml_cgraph *graph, int i) {
    if (copy->node)
        return copy->node(graph, i);
    char *nodes = (char *)graph + old.nodes;
    if (!old.is_inline)
        memcpy(&nodes, nodes, sizeof(char *));
    const struct ggml_tensor *node;
    memcpy(&node, nodes + (size_t)i * sizeof node, sizeof node);
    return node;
}

static const char *op_of(const struct copy *copy, const struct ggml_tensor *node) {
    int op;
    if (copy->op_desc)
        return copy->op_desc(node);
    memcpy(&op, (const char *)node + old.op, sizeof op);
    return copy->op_name(op);
}

static bool computes(const struct copy *copy, const struct ggml_tensor *node, const char *op) {
    static const char *const nothing[] = {"NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (strcmp(op, nothing[i]) == 0)
            return false;
    return !(copy->is_empty && copy->is_empty(node)) && (!copy->marks || (node->flags & GGML_TENSOR_FLAG_COMPUTE));
}

/* Counts the nodes of a graph that a backend is about to compute. */
static void count_nodes(struct copy *copy, const char *name, struct ggml_cgraph *graph) {
    pthread_mutex_lock(&lock);
    struct backend_count *backend = copy->backends;
    while (backend < copy->backends + MAX_BACKENDS && backend->name[0] && strcmp(backend->name, name))
        backend++;
    if (backend == copy->backends + MAX_BACKENDS)
        fail("too many backends");
    snprintf(backend->name, sizeof backend->name, "%s", name);
    backend->graphs++;
    int count = copy->counts_nodes ? number_of_nodes(copy, graph) : 0;
    for (int i = 0; i < count; i++) {
        const struct ggml_tensor *node = node_of(copy, graph, i);
        const char *name_of_op = op_of(copy, node);
        if (!computes(copy, node, name_of_op))
            continue;
        struct op_count *op = backend->ops;
        while (op < backend->ops + MAX_OPS && op->name[0] && strcmp(op->name, name_of_op))
            op++;
        if (op == backend->ops + MAX_OPS)
            fail("too many ops");
        snprintf(op->name, sizeof op->name, "%s", name_of_op);
        op->count++;
    }
    pthread_mutex_unlock(&lock);
}

static void enter(struct copy *copy) {
    if (depth++ == 0)
        __atomic_fetch_add(&copy->runs, 1, __ATOMIC_RELAXED);
}

static void count_backend(struct copy *copy, ggml_backend_t backend, struct ggml_cgraph *graph) {
    const char *name = copy->backend_name ? copy->backend_name(backend) : "CPU";
    if (strcmp(name, "CPU") != 0)
        count_nodes(copy, name, graph);
}

#define EXPORT __attribute__((visibility("default"), noinline))
#define SITE(symbol) site_of(__builtin_return_address(0), symbol)

EXPORT enum ggml_status ggml_graph_compute(struct ggml_cgraph *graph, struct ggml_cplan *plan) {
    static const char symbol[] = "ggml_graph_compute";
    struct site site = SITE(symbol);
    enter(site.copy);
    count_nodes(site.copy, "CPU", graph);
    enum ggml_status status =
        ((enum ggml_status (*)(struct ggml_cgraph *, struct ggml_cplan *))site.original)(graph, plan);
    depth--;
    return status;
}

typedef enum ggml_status compute_backend(ggml_backend_t, struct ggml_cgraph *);

EXPORT enum ggml_status ggml_backend_graph_compute(ggml_backend_t backend, struct ggml_cgraph *graph) {
    static const char symbol[] = "ggml_backend_graph_compute";
    struct site site = SITE(symbol);
    enter(site.copy);
    enum ggml_status status = ((compute_backend *)site.original)(backend, graph);
    depth--;
    return status;
}

EXPORT enum ggml_status ggml_backend_graph_compute_async(ggml_backend_t backend, struct ggml_cgraph *graph) {
    static const char symbol[] = "ggml_backend_graph_compute_async";
    struct site site = SITE(symbol);
    enter(site.copy);
    count_backend(site.copy, backend, graph);
    enum ggml_status status = ((compute_backend *)site.original)(backend, graph);
    depth--;
    return status;
}

typedef enum ggml_status compute_sched(ggml_backend_sched_t, struct ggml_cgraph *);

EXPORT enum ggml_status ggml_backend_sched_graph_compute(ggml_backend_sched_t sched, struct ggml_cgraph *graph) {
    static const char symbol[] = "ggml_backend_sched_graph_compute";
    struct site site = SITE(symbol);
    enter(site.copy);
    enum ggml_status status = ((compute_sched *)site.original)(sched, graph);
    depth--;
    return status;
}

EXPORT enum ggml_status ggml_backend_sched_graph_compute_async(ggml_backend_sched_t sched, struct ggml_cgraph *graph) {
    static const char symbol[] = "ggml_backend_sched_graph_compute_async";
    struct site site = SITE(symbol);
    enter(site.copy);
    enum ggml_status status = ((compute_sched *)site.original)(sched, graph);
    depth--;
    return status;
}

__attribute__((destructor)) static void write_counts(void) {
    const char *path = getenv("GGML_TRUTH");
    if (!path || !copies[0].identity)
        return;
    FILE *file = fopen(path, "w");
    if (!file)
        fail(path);
    fputc('[', file);
    for (struct copy *copy = copies; copy < copies + MAX_COPIES && copy->identity; copy++) {
        fprintf(file, "%s{\"ggml\": \"%s\", \"version\": \"%s\", \"runs\": %ld, \"backends\": {",
                copy == copies ? "" : ",\n ", copy->path, copy->version, copy->runs);
        for (struct backend_count *b = copy->backends; b < copy->backends + MAX_BACKENDS && b->name[0]; b++) {
            fprintf(file, "%s\"%s\": {\"graphs\": %ld, \"ops\": ", b == copy->backends ? "" : ", ", b->name, b->graphs);
            if (!copy->counts_nodes) {
                fputs("null}", file);
                continue;
            }
            fputc('{', file);
            for (struct op_count *op = b->ops; op < b->ops + MAX_OPS && op->name[0]; op++)
                fprintf(file, "%s\"%s\": %ld", op == b->ops ? "" : ", ", op->name, op->count);
            fputs("}}", file);
        }
        fputs("}}", file);
    }
    fputs("]\n", file);
    if (fclose(file) != 0)
        fail(path);
}
