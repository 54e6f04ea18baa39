/* Knowing a graph again.
 *
 * A graph is computed thousands of times and must be described once. Two keys are used: a quick one over what
 * the nodes' structs hold (pointers included), taken before each run; and, only where that one is new, one over
 * what the graph means (names, ops, shapes, wiring), so that a graph which was rebuilt at other addresses is the
 * same definition. Where tensors lie in memory is a definition of its own. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/settings.h"

#define INSTANCES 1024u
#define CONTENTS 8192u
#define RETIRED 64u
#define PLACEMENTS_PER_GRAPH 64u

static struct gv_graph *instances[INSTANCES];
static uint32_t instance_count;
static uint64_t use_clock;
static uint32_t seen_generation, seen_settings;

/* What has been defined, by content. Numbers are places in these tables plus 1. */
static struct {
    uint64_t key;
    uint32_t placements; /* of this graph */
} graphs[CONTENTS];
static uint64_t placements[CONTENTS];
static uint32_t graph_count, placement_count;

static inline uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0x9fb21c651e98df25ull;
    return state ^ (state >> 32);
}

struct gv_graph_keys gv_graph_keys(const struct gv_layout *layout, struct ggml_tensor *const *nodes, uint32_t count) {
    /* Three chains, so that the multiplications overlap. */
    uint64_t a = 1, b = 2, place = 3;
    const int ne = layout->tensor_ne, op = layout->tensor_op, sources = layout->tensor_sources,
              view = layout->tensor_view, data = layout->tensor_data;
    for (uint32_t i = 0; i < count; i++) {
        const void *node = nodes[i];
        uint64_t n0 = gv_field_u64(node, ne), n1 = gv_field_u64(node, ne + 8);
        uint64_t n2 = gv_field_u64(node, ne + 16), n3 = gv_field_u64(node, ne + 24);
        a = mix(a, (uint64_t)(uintptr_t)node + n0 + (n1 << 24));
        b = mix(b, gv_field_u32(node, op) + (n2 << 8) + (n3 << 40) + gv_field_u64(node, sources) * 3 +
                       gv_field_u64(node, sources + 8) * 5);
        /* A view lies where its source lies; its offset may differ at every token. */
        uint64_t is_own = gv_field_pointer(node, view) == NULL;
        place = mix(place, gv_field_u64(node, data) & (0 - is_own));
    }
    return (struct gv_graph_keys){.key = mix(a, b) ^ count, .place = place};
}

/* --- describing a graph --- */

/* Tensors of a graph, nodes first, then whatever they refer to. */
struct tensors {
    const struct ggml_tensor **list;
    uint32_t count, capacity, nodes;
    uint32_t *table; /* hash of pointer -> index + 1 */
    uint32_t mask;
};

static uint32_t hash_pointer(const void *pointer) {
    return (uint32_t)(mix(7, (uint64_t)(uintptr_t)pointer) >> 20);
}

static uint32_t index_plus_one(const struct tensors *t, const void *tensor) {
    for (uint32_t at = hash_pointer(tensor) & t->mask; t->table[at]; at = (at + 1) & t->mask) {
        if (t->list[t->table[at] - 1] == tensor) {
            return t->table[at];
        }
    }
    return 0;
}

static void insert(struct tensors *t, uint32_t index) {
    uint32_t at = hash_pointer(t->list[index]) & t->mask;
    while (t->table[at]) {
        at = (at + 1) & t->mask;
    }
    t->table[at] = index + 1;
}

static bool add_tensor(struct tensors *t, const struct ggml_tensor *tensor) {
    if (!tensor || index_plus_one(t, tensor)) {
        return true;
    }
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity * 2;
        const struct ggml_tensor **list = realloc(t->list, capacity * sizeof *list);
        uint32_t *table = list ? calloc((size_t)capacity * 2, sizeof *table) : NULL;
        if (list) {
            t->list = list;
        }
        if (!table) {
            return false;
        }
        free(t->table);
        t->table = table;
        t->mask = capacity * 2 - 1;
        t->capacity = capacity;
        for (uint32_t i = 0; i < t->count; i++) {
            insert(t, i);
        }
    }
    t->list[t->count] = tensor;
    insert(t, t->count++);
    return true;
}

static bool collect(const struct gv_layout *layout, struct ggml_tensor *const *nodes, uint32_t count,
                    struct tensors *t) {
    uint32_t capacity = 64;
    while (capacity < count * 2) {
        capacity *= 2;
    }
    *t = (struct tensors){.capacity = capacity, .nodes = count, .mask = capacity * 2 - 1};
    t->list = malloc(capacity * sizeof *t->list);
    t->table = calloc((size_t)capacity * 2, sizeof *t->table);
    bool good = t->list && t->table;
    for (uint32_t i = 0; good && i < count; i++) {
        /* A node stands at its own index even if a graph should list it twice. */
        t->list[t->count] = nodes[i];
        if (!index_plus_one(t, nodes[i])) {
            insert(t, t->count);
        }
        t->count++;
    }
    /* The list grows while it is walked: sources of sources that are not nodes are leafs' views. */
    for (uint32_t i = 0; good && i < t->count; i++) {
        const struct ggml_tensor *tensor = t->list[i];
        for (int s = 0; good && s < layout->tensor_source_count; s++) {
            good = add_tensor(t, gv_field_pointer(tensor, layout->tensor_sources + 8 * s));
        }
        good = good && add_tensor(t, gv_field_pointer(tensor, layout->tensor_view));
    }
    return good;
}

static const char *text_of(const struct gv_runtime *r, enum gv_api api, int value) {
    return ((const char *(*)(int))r->apis[api])(value);
}

const char *gv_op_text(const struct gv_runtime *r, const struct ggml_tensor *tensor) {
    if (GV_HAS(r, ggml_op_desc)) {
        return GV_CALL(r, ggml_op_desc, const char *(*)(const void *))(tensor);
    }
    return text_of(r, GV_API_ggml_op_name, (int)gv_field_u32(tensor, r->layout.tensor_op));
}

/* Fills a row, and returns the tensor's name. */
static const char *describe(const struct gv_runtime *r, const struct tensors *t, uint32_t index,
                            struct gv_tensor_row *row) {
    const struct gv_layout *layout = &r->layout;
    const struct ggml_tensor *tensor = t->list[index];
    memset(row, 0, sizeof *row);
    memcpy(row->ne, (const char *)tensor + layout->tensor_ne, sizeof row->ne);
    memcpy(row->nb, (const char *)tensor + layout->tensor_nb, sizeof row->nb);
    row->bytes = GV_CALL(r, ggml_nbytes, size_t (*)(const void *))(tensor);
    row->flags = layout->tensor_flags >= 0 ? gv_field_u32(tensor, layout->tensor_flags) : 0;
    for (int s = 0; s < layout->tensor_source_count; s++) {
        const void *source = gv_field_pointer(tensor, layout->tensor_sources + 8 * s);
        if (source) {
            row->sources[s] = index_plus_one(t, source);
            row->source_count = (uint32_t)s + 1;
        }
    }
    const void *view = gv_field_pointer(tensor, layout->tensor_view);
    if (view) {
        row->view = index_plus_one(t, view);
        row->view_offset_bytes = gv_field_u64(tensor, layout->tensor_view_offset);
    }
    row->op = gv_name_number(gv_op_text(r, tensor));
    row->type = gv_name_number(text_of(r, GV_API_ggml_type_name, (int)gv_field_u32(tensor, layout->tensor_type)));
    const char *name = GV_CALL(r, ggml_get_name, const char *(*)(const void *))(tensor);
    row->name_length = name ? (uint32_t)strnlen(name, 255) : 0;
    return name;
}

static uint64_t content_key(const struct gv_tensor_row *row, const char *name, uint64_t key) {
    for (int i = 0; i < 4; i++) {
        key = mix(mix(key, (uint64_t)row->ne[i]), row->nb[i]);
    }
    for (uint32_t i = 0; i < row->source_count; i++) {
        key = mix(key, row->sources[i]);
    }
    key = mix(mix(mix(mix(key, row->op), row->type), row->flags), row->view);
    for (uint32_t i = 0; i < row->name_length; i++) {
        key = mix(key, (uint8_t)name[i]);
    }
    return key;
}

/* The graph's definition number: a known one if the content is known. 0 where the log is full. */
static uint32_t define_graph(struct gv_runtime *r, const struct tensors *t) {
    if (!r->number) {
        r->number = gv_define_runtime(r);
    }
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, graph_count + 1);
    gv_bytes_varint(&body, r->number);
    gv_bytes_varint(&body, t->nodes);
    gv_bytes_varint(&body, t->count);
    uint64_t key = mix(r->number, t->nodes);
    for (uint32_t i = 0; i < t->count; i++) {
        struct gv_tensor_row row;
        const char *name = describe(r, t, i, &row);
        key = content_key(&row, name, key);
        if (!gv_bytes_reserve(&body, GV_TENSOR_ENCODED_MAX + row.name_length)) {
            free(body.data);
            return 0;
        }
        body.length = (size_t)(gv_tensor_encode(&row, name, body.data + body.length) - body.data);
    }
    uint32_t number = 0;
    for (uint32_t i = 0; i < graph_count && !number; i++) {
        number = graphs[i].key == key ? i + 1 : 0;
    }
    if (!number && graph_count < CONTENTS && gv_define(GV_DEF_GRAPH, &body)) {
        graphs[graph_count].key = key;
        graphs[graph_count].placements = 0;
        number = ++graph_count;
    }
    free(body.data);
    return number;
}

/* Likewise of where the graph's tensors lie. 0 also where a graph never lies in the same place twice. */
static uint32_t define_placement(const struct gv_runtime *r, const struct tensors *t, uint32_t graph) {
    const struct gv_layout *layout = &r->layout;
    if (layout->tensor_buffer < 0 || !graph) {
        return 0;
    }
    struct gv_bytes body = {0};
    gv_bytes_varint(&body, placement_count + 1);
    size_t fixed = body.length; /* the number itself is no content */
    gv_bytes_varint(&body, graph);
    gv_bytes_varint(&body, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct ggml_tensor *tensor = t->list[i];
        const void *view = gv_field_pointer(tensor, layout->tensor_view);
        const struct gv_buffer *buffer =
            gv_buffer_known(r, gv_field_pointer(view ? view : (const void *)tensor, layout->tensor_buffer));
        uint64_t offset = buffer ? gv_field_u64(tensor, layout->tensor_data) - buffer->base : 0;
        bool inside = buffer && offset < buffer->size;
        gv_bytes_varint(&body, inside ? buffer->number : 0);
        if (inside) {
            gv_bytes_varint(&body, offset);
        }
    }
    uint64_t key = ~(uint64_t)graph;
    for (size_t i = fixed; i < body.length; i++) {
        key = mix(key, body.data[i]);
    }
    uint32_t number = 0;
    for (uint32_t i = 0; i < placement_count && !number; i++) {
        number = placements[i] == key ? i + 1 : 0;
    }
    if (!number && placement_count < CONTENTS && graphs[graph - 1].placements < PLACEMENTS_PER_GRAPH &&
        gv_define(GV_DEF_PLACEMENT, &body)) {
        placements[placement_count] = key;
        graphs[graph - 1].placements++;
        number = ++placement_count;
    }
    free(body.data);
    return number;
}

/* --- the table of known graphs --- */

/* A worker may still be looking for its node among those of a run that has just ended, so a graph that is
 * forgotten is freed only when as many others have been. */
static void forget(uint32_t index) {
    static struct gv_graph *retired[RETIRED];
    static uint32_t next;
    struct gv_graph *oldest = retired[next];
    retired[next] = instances[index];
    next = (next + 1) % RETIRED;
    instances[index] = instances[--instance_count];
    if (oldest) {
        free(oldest->nodes);
        free(oldest->wanted);
        free(oldest);
    }
}

/* Makes room: the graph that has not been run for longest goes, unless a run is using it. */
static bool make_room(void) {
    if (instance_count < INSTANCES) {
        return true;
    }
    uint32_t oldest = INSTANCES;
    for (uint32_t i = 0; i < instance_count; i++) {
        if (!atomic_load(&instances[i]->users) &&
            (oldest == INSTANCES || instances[i]->last_used < instances[oldest]->last_used)) {
            oldest = i;
        }
    }
    if (oldest == INSTANCES) {
        return false;
    }
    forget(oldest);
    return true;
}

/* After a library was unloaded, another ggml may lie at the same addresses with other meanings; after settings were
 * read, other nodes may be wanted. */
static void forget_if_changed(void) {
    uint32_t generation = atomic_load(&gv_generation), settings = atomic_load(&gv_settings.generation);
    if (generation == seen_generation && settings == seen_settings) {
        return;
    }
    seen_generation = generation;
    seen_settings = settings;
    for (uint32_t i = instance_count; i-- > 0;) {
        if (!atomic_load(&instances[i]->users)) {
            forget(i);
        }
    }
}

static struct gv_graph *new_instance(const struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count,
                                     uint64_t key) {
    struct gv_graph *graph = make_room() ? calloc(1, sizeof *graph) : NULL;
    if (!graph) {
        return NULL;
    }
    graph->nodes = malloc((count ? count : 1) * sizeof *graph->nodes);
    if (!graph->nodes || !gv_filter_nodes(r, nodes, count, &graph->wanted)) {
        free(graph->nodes);
        free(graph);
        return NULL;
    }
    memcpy(graph->nodes, nodes, count * sizeof *graph->nodes);
    graph->node_count = count;
    graph->key = key;
    graph->generation = seen_settings;
    graph->workload = gv_workload(r, nodes, count);
    instances[instance_count++] = graph;
    return graph;
}

static struct gv_graph *find_or_define(struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count,
                                       struct gv_graph_keys keys) {
    struct gv_graph *graph = NULL;
    for (uint32_t i = 0; i < instance_count && !graph; i++) {
        struct gv_graph *known = instances[i];
        bool same = known->key == keys.key && known->node_count == count && known->generation == seen_settings;
        graph = same ? known : NULL;
    }
    if (graph && graph->place_key == keys.place) {
        return graph;
    }
    struct tensors tensors;
    if (!collect(&r->layout, nodes, count, &tensors)) {
        free(tensors.list);
        free(tensors.table);
        return graph;
    }
    if (!graph) {
        graph = new_instance(r, nodes, count, keys.key);
        if (graph) {
            graph->number = define_graph(r, &tensors);
        }
    }
    if (graph) {
        graph->placement = define_placement(r, &tensors, graph->number);
        graph->place_key = keys.place;
    }
    free(tensors.list);
    free(tensors.table);
    return graph;
}

struct ggml_tensor *const *gv_graph_nodes(const struct gv_runtime *runtime, const struct ggml_cgraph *graph,
                                          uint32_t *count) {
    typedef struct ggml_tensor **(*nodes_fn)(const void *);
    *count = 0;
    if (!runtime) {
        return NULL;
    }
    if (!GV_HAS(runtime, ggml_graph_n_nodes) || !GV_HAS(runtime, ggml_graph_nodes)) {
        const struct gv_layout *layout = &runtime->layout;
        if (layout->graph_nodes < 0 || (int32_t)gv_field_u32(graph, layout->graph_count) <= 0) {
            return NULL;
        }
        *count = gv_field_u32(graph, layout->graph_count);
        return layout->graph_inline ? (struct ggml_tensor *const *)((const char *)graph + layout->graph_nodes)
                                    : gv_field_pointer(graph, layout->graph_nodes);
    }
    int listed = GV_CALL(runtime, ggml_graph_n_nodes, int (*)(const void *))(graph);
    if (listed <= 0) {
        return NULL;
    }
    *count = (uint32_t)listed;
    return GV_CALL(runtime, ggml_graph_nodes, nodes_fn)(graph);
}

struct gv_graph *gv_graph_acquire(struct gv_runtime *runtime, const struct ggml_cgraph *graph, uint32_t *placement) {
    uint32_t count;
    struct ggml_tensor *const *nodes = gv_graph_nodes(runtime, graph, &count);
    if (!nodes || !runtime->layout.tensors) {
        return NULL;
    }
    struct gv_graph_keys keys = gv_graph_keys(&runtime->layout, nodes, count);
    bool was_inside = gv_inside;
    gv_inside = true;
    pthread_mutex_lock(&gv_define_lock);
    forget_if_changed();
    struct gv_graph *found = find_or_define(runtime, nodes, count, keys);
    if (found) {
        found->last_used = ++use_clock;
        *placement = found->placement;
        atomic_fetch_add(&found->users, 1);
    }
    pthread_mutex_unlock(&gv_define_lock);
    gv_inside = was_inside;
    return found;
}

void gv_graph_release(struct gv_graph *graph) {
    if (graph) {
        atomic_fetch_sub(&graph->users, 1);
    }
}

void gv_graphs_after_fork(void) {
    /* The child's log knows nothing yet; what the parent's other threads were using is given up. */
    instance_count = graph_count = placement_count = 0;
}
