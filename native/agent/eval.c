/* On request, times each node by itself, on any backend: through the callback by which a scheduler asks before each
 * node whether somebody wants to see it, computes it alone and waits for it if so, and tells then.
 *
 * There is room for one callback only. So the application's is kept; ours takes its place for as long as a recorded run
 * lasts, and passes on what the application would have been told: it is asked about every node, told of those that it
 * asked for, and may cancel there. A scheduler whose callback could be anything, because it was made before the agent
 * came, is left alone. */
#include <string.h>

#include "agent/agent.h"
#include "agent/hook.h"
#include "agent/settings.h"
#include "platform/clock.h"

#define SCHEDS 256u

typedef bool (*callback_fn)(void *node, bool ask, void *data);
typedef void (*set_fn)(void *sched, callback_fn callback, void *data);

/* Entries are never removed, and are whole before `sched` is published; a scheduler that comes to lie at the same
 * address takes the old one's over. The rest of an entry belongs to the thread that uses the scheduler. */
static struct gv_eval {
    void *_Atomic sched;
    callback_fn callback; /* the application's */
    void *data;
    /* While ours is in its place: */
    bool installed;
    bool asked; /* what the application answered for the node in progress */
    uint64_t start;
} evals[SCHEDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct gv_eval *find(const void *sched) {
    for (uint32_t i = 0; i < SCHEDS; i++) {
        void *known = atomic_load_explicit(&evals[i].sched, memory_order_acquire);
        if (known == sched || !known) {
            return known ? &evals[i] : NULL;
        }
    }
    return NULL;
}

/* The scheduler's entry, made if there is none; NULL: there is no room. */
static struct gv_eval *know(void *sched) {
    struct gv_eval *eval = find(sched);
    if (eval) {
        return eval;
    }
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < SCHEDS && !eval; i++) {
        if (!atomic_load_explicit(&evals[i].sched, memory_order_relaxed)) {
            eval = &evals[i];
            atomic_store_explicit(&eval->sched, sched, memory_order_release);
        }
    }
    pthread_mutex_unlock(&lock);
    return eval;
}

static void remember(void *sched, callback_fn callback, void *data) {
    struct gv_eval *eval = sched ? know(sched) : NULL;
    if (eval) {
        eval->callback = callback;
        eval->data = data;
    }
}

void gv_eval_sched_made(void *sched) {
    struct gv_eval *eval = sched ? know(sched) : NULL;
    if (eval) {
        eval->callback = NULL;
        eval->data = NULL;
        eval->installed = false;
    }
}

static bool observe(void *node, bool ask, void *data) {
    struct gv_eval *eval = data;
    if (ask) {
        eval->asked = eval->callback && eval->callback(node, true, eval->data);
        eval->start = gv_ticks();
        return true;
    }
    gv_node_alone(node, eval->start, gv_ticks());
    return !eval->asked || eval->callback(node, false, eval->data);
}

HOOK void ggml_backend_sched_set_eval_callback(void *sched, callback_fn callback, void *data) {
    set_fn original = ORIGINAL(IMAGE(), ggml_backend_sched_set_eval_callback, set_fn);
    remember(sched, callback, data);
    struct gv_eval *eval = find(sched);
    /* Inside a run, ours is asked next and passes on to the new one. */
    if (original && !(eval && eval->installed)) {
        original(sched, callback, data);
    }
}

static void note_unknown(void) {
    static _Atomic uint32_t noted_by;
    gv_note_unseen_once(&noted_by, "each node by itself, for schedulers that were made before the agent came: the "
                                   "application's own callback is not known there");
}

static set_fn setter(const struct gv_image *image) {
    const struct gv_runtime *r = gv_image_runtime(image);
    return r && GV_HAS(r, ggml_backend_sched_set_eval_callback)
               ? GV_CALL(r, ggml_backend_sched_set_eval_callback, set_fn)
               : NULL;
}

struct gv_eval *gv_eval_begin(const struct gv_image *image, void *sched) {
    uint32_t control = atomic_load_explicit(&gv_segment->control, memory_order_relaxed);
    set_fn set = setter(image);
    if (!set || (control & GV_CONTROL_DETAIL_MASK) == GV_DETAIL_GRAPH) {
        return NULL;
    }
    struct gv_eval *eval = find(sched);
    if (!eval) {
        note_unknown();
        return NULL;
    }
    eval->asked = false;
    eval->installed = true;
    set(sched, observe, eval);
    return eval;
}

void gv_eval_end(struct gv_eval *eval, const struct gv_image *image) {
    eval->installed = false;
    setter(image)(atomic_load_explicit(&eval->sched, memory_order_relaxed), eval->callback, eval->data);
}

void gv_eval_after_fork(void) {
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
