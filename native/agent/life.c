/* The agent's life: it starts at the first call of ggml, follows the process through fork, and ends with it.
 *
 * Three ways to run, by environment:
 *   GGML_VIZ_RUN=token      a recorder outside drains the segment (what `ggml-viz run` sets)
 *   GGML_VIZ_OUTPUT=file    a thread of the agent drains it into the file
 *   neither                 the segment is there for whoever wants to look
 * and GGML_VIZ_DISABLE=1. All else is in settings.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/loader.h"
#include "agent/settings.h"
#include "platform/clock.h"
#include "platform/platform.h"
#include "trace/drain.h"

#define LOG_BYTES (256ull << 20) /* of address space: memory is committed as definitions come */
#define RINGS_BYTES (32u << 20)  /* what the rings of as many threads as there are CPUs may take */
#define MIN_RING_RECORDS 4096u
#define MAX_RING_RECORDS 131072u
#define DRAIN_PACE_NS 10000000u

_Atomic int gv_state = GV_UNBORN;
struct gv_segment *gv_segment;
struct gv_ring *gv_rings;
int gv_segment_fd = -1;
__thread bool gv_inside __attribute__((tls_model("initial-exec")));

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static char segment_path[4096];
static bool recorder_outside;
static _Atomic uint32_t known_recording; /* of the segment's `recording` */
static bool start_stopped;               /* a fork's: its parent was not being recorded */
static struct {
    struct gv_writer writer;
    struct gv_drain *drain;
    pthread_mutex_t lock;
    bool running;
} drainer = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool gv_wanted(void) {
    char disable[4];
    return !gv_environment("GGML_VIZ_DISABLE", disable, sizeof disable) || strcmp(disable, "0") == 0;
}

/* --- settings --- */

static char run_token[256]; /* of the recording that the program was started for */
static bool run_token_kept; /* its variable is gone */

static const char *own_token(void) {
    if (gv_attached) {
        return gv_attach_token;
    }
    size_t length = run_token_kept ? 1 : gv_environment("GGML_VIZ_RUN", run_token, sizeof run_token);
    return length && length < sizeof run_token ? run_token : NULL;
}

/* Those of the recording `token`. A program that was started without `ggml-viz run` may have them in its environment.
 */
static void read_settings(const char *token) {
    char folder[1024];
    bool found = token && gv_folder(folder, sizeof folder) >= 0 && gv_settings_read(folder, token);
    if (!found && !gv_attached) {
        gv_settings_read(NULL, NULL);
    }
}

void gv_before_main(void) {
    const char *token = own_token();
    read_settings(token);
    if (!gv_settings.children) {
        run_token_kept = token != NULL;
        gv_leave_environment();
    }
}

static uint32_t wanted_control(void) {
    return gv_settings.detail | (gv_settings.start_paused ? GV_CONTROL_PAUSED : 0);
}

/* --- the segment --- */

static uint64_t align_page(uint64_t bytes) {
    return (bytes + GV_PAGE - 1) & ~(uint64_t)(GV_PAGE - 1);
}

static uint64_t ring_bytes(void) {
    return (uint64_t)gv_segment->ring_records * sizeof(struct gv_record);
}

struct gv_record *gv_ring_slots(uint32_t index) {
    return (struct gv_record *)((uint8_t *)gv_segment + gv_segment->records_offset + index * ring_bytes());
}

bool gv_ring_prepare(uint32_t index) {
    struct gv_ring *ring = &gv_rings[index];
    if (atomic_load_explicit(&ring->prepared, memory_order_acquire)) {
        return true;
    }
    if (gv_commit(gv_segment_fd, gv_segment->records_offset + index * ring_bytes(), ring_bytes()) != 0) {
        return false;
    }
    gv_populate(gv_ring_slots(index), ring_bytes());
    atomic_store_explicit(&ring->prepared, 1, memory_order_release);
    return true;
}

static bool make_segment(const char *path, uint32_t cpus, uint32_t ring_records) {
    uint32_t ring_count = 4 * cpus + 32 < 512 ? 4 * cpus + 32 : 512;
    uint64_t log_offset = GV_PAGE + align_page(ring_count * sizeof(struct gv_ring));
    uint64_t records_offset = log_offset + LOG_BYTES;
    uint64_t size = records_offset + (uint64_t)ring_count * ring_records * sizeof(struct gv_record);
    gv_segment_fd = gv_segment_create(path, size);
    if (gv_segment_fd < 0) {
        return false;
    }
    gv_segment = gv_map(gv_segment_fd, size);
    if (!gv_segment) {
        return false;
    }
    struct gv_segment *s = gv_segment;
    /* The header before anything else: writing to a page that cannot be had would be a SIGBUS. */
    if (gv_commit(gv_segment_fd, 0, log_offset) != 0) {
        return false;
    }
    gv_rings = (struct gv_ring *)((uint8_t *)s + GV_PAGE);
    memcpy(s->magic, GV_SEGMENT_MAGIC, sizeof s->magic);
    s->version = GV_SEGMENT_VERSION;
    s->pid = gv_process_id();
    s->process_start = gv_process_start(s->pid);
    s->size = size;
    s->clock_kind = (uint32_t)gv_clock_init();
    s->ring_count = ring_count;
    s->ring_records = ring_records;
    s->rings_offset = GV_PAGE;
    s->log_offset = log_offset;
    s->log_capacity = LOG_BYTES;
    s->records_offset = records_offset;
    for (uint32_t i = 0; i < ring_count; i++) {
        atomic_store(&gv_rings[i].current.node, GV_NO_NODE);
    }
    /* And the rings that are sure to be used. */
    bool good = true;
    for (uint32_t i = 0; good && i < (cpus < 8 ? cpus + 1 : 8); i++) {
        good = gv_ring_prepare(i);
    }
    return good;
}

static void drop_segment(const char *path) {
    if (gv_segment) {
        gv_unmap(gv_segment, gv_segment->size);
        gv_segment = NULL;
    }
    if (gv_segment_fd >= 0) {
        gv_close(gv_segment_fd);
        gv_segment_fd = -1;
        gv_file_remove(path);
    }
}

/* Makes the segment under a hidden name, with smaller rings if memory is short, and shows it when it is whole. */
static bool open_segment(const char *token) {
    char folder[1024], hidden[4096];
    uint64_t stamp = gv_ticks();
    if (gv_folder(folder, sizeof folder) < 0) {
        return false;
    }
    uint32_t pid = gv_process_id(), cpus = gv_cpus();
    snprintf(segment_path, sizeof segment_path, "%s/%s.%u.%llx", folder, token, pid, (unsigned long long)stamp);
    snprintf(hidden, sizeof hidden, "%s/.%s.%u.%llx", folder, token, pid, (unsigned long long)stamp);
    uint32_t records = MAX_RING_RECORDS;
    while (records > MIN_RING_RECORDS && (uint64_t)records * sizeof(struct gv_record) * (cpus + 1) > RINGS_BYTES) {
        records /= 2;
    }
    for (; records >= MIN_RING_RECORDS; records /= 2) {
        if (make_segment(hidden, cpus, records)) {
            uint64_t now[3];
            gv_clock_sample(now);
            gv_segment->start_ticks = now[0];
            gv_segment->start_monotonic_ns = now[1];
            gv_segment->start_wall_ns = now[2];
            gv_segment->put_cost_ps = gv_measure_put_cost();
            atomic_store(&gv_segment->control, wanted_control() | (start_stopped ? GV_CONTROL_STOPPED : 0));
            gv_define_process(gv_settings.detail);
            gv_define_filters();
            atomic_store_explicit(&gv_segment->ready, 1, memory_order_release);
            if (gv_file_rename(hidden, segment_path)) {
                return true;
            }
        }
        drop_segment(hidden);
    }
    return false;
}

/* --- the agent's own recorder --- */

static void *drain_loop(void *nothing) {
    (void)nothing;
    gv_inside = true;
    for (;;) {
        gv_sleep_ns(DRAIN_PACE_NS);
        pthread_mutex_lock(&drainer.lock);
        bool running = drainer.running;
        if (running) {
            gv_drain_step(drainer.drain);
        }
        pthread_mutex_unlock(&drainer.lock);
        if (!running) {
            return NULL;
        }
    }
}

/* Where the trace goes; false: nowhere. */
static bool read_output_path(char *out, size_t capacity) {
    char path[4096];
    size_t length = gv_environment("GGML_VIZ_OUTPUT", path, sizeof path);
    if (!length || length >= sizeof path) {
        return false;
    }
    /* %p in the name stands for the process id. */
    const char *mark = strstr(path, "%p");
    if (mark) {
        snprintf(out, capacity, "%.*s%u%s", (int)(mark - path), path, gv_process_id(), mark + 2);
    } else {
        snprintf(out, capacity, "%s", path);
    }
    return true;
}

static void start_drainer(const char *output_path) {
    struct gv_view view;
    if (gv_writer_join(&drainer.writer, output_path) != 0) {
        return;
    }
    /* A number that no other process of the file has: after exec, one has the pid of the one before. */
    uint64_t mixed = (gv_segment->start_ticks ^ (uint64_t)gv_process_id() << 40) * 0x9e3779b97f4a7c15ull;
    uint32_t process = (uint32_t)(mixed >> 32) | 1;
    drainer.drain = gv_view_open(&view, segment_path, true) == 0
                        ? gv_drain_open(&view, &drainer.writer, process, GV_SINCE_START)
                        : NULL;
    if (!drainer.drain) {
        gv_writer_close(&drainer.writer);
        return;
    }
    atomic_store(&gv_segment->recorder, gv_process_word(gv_process_id()));
    drainer.running = true;
    gv_thread_start(drain_loop);
}

/* Whether a recorder outside has ended its recording, or died. One that has not come yet still will. */
static bool is_given_up(void) {
    uint64_t recorder = atomic_load(&gv_segment->recorder);
    return recorder ? !gv_process_of(recorder) : atomic_load(&gv_segment->control) & GV_CONTROL_STOPPED;
}

static void finish(void) {
    pthread_mutex_lock(&drainer.lock);
    if (drainer.running) {
        drainer.running = false;
        struct gv_stat stat;
        gv_drain_close(drainer.drain, GV_DONE_ENDED, &stat);
        drainer.drain = NULL;
        gv_writer_close(&drainer.writer);
    }
    pthread_mutex_unlock(&drainer.lock);
    gv_file_remove(segment_path);
}

void gv_finish(void) {
    if (atomic_load(&gv_state) != GV_ON || !gv_segment || gv_segment->pid != gv_process_id()) {
        return;
    }
    if (recorder_outside && !is_given_up()) {
        return; /* the recorder sees to the rest */
    }
    gv_inside = true;
    /* A full disk or a file size limit is no reason for a signal to the program. */
    gv_undisturbed(finish);
    gv_inside = false;
}

/* --- start, fork --- */

static void after_fork_in_child(void) {
    start_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    drainer.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (drainer.running) {
        drainer.running = false;
        gv_drain_abandon(drainer.drain);
        gv_writer_close(&drainer.writer);
        drainer.drain = NULL;
    }
    if (atomic_load(&gv_state) == GV_OFF) {
        return;
    }
    atomic_store(&gv_state, GV_UNBORN);
    /* The segment is the parent's: the child must neither write to it nor hold its lock. */
    atomic_store(&known_recording, 0);
    if (gv_segment) {
        start_stopped = atomic_load(&gv_segment->control) & GV_CONTROL_STOPPED;
        gv_unmap(gv_segment, gv_segment->size);
    }
    gv_close(gv_segment_fd);
    gv_segment = NULL;
    gv_segment_fd = -1;
    gv_objects_after_fork();
    gv_resolve_after_fork();
    gv_define_after_fork();
    gv_buffers_after_fork();
    gv_graphs_after_fork();
    gv_runs_after_fork();
    gv_eval_after_fork();
    gv_node_leave();
    gv_threads_after_fork();
}

void gv_check_fork(void) {
    if (GV_UNLIKELY(gv_segment->pid != gv_process_id())) {
        after_fork_in_child(); /* made by a bare system call */
        gv_on();
    }
}

/* The token of the segment's name: that of the recording for which it was made, and of all later ones. */
static bool segment_token(char *token, size_t capacity) {
    const char *slash = strrchr(segment_path, '/'), *name = slash ? slash + 1 : segment_path;
    size_t length = strcspn(name, ".");
    if (!length || length >= capacity) {
        return false;
    }
    memcpy(token, name, length);
    token[length] = '\0';
    return true;
}

/* Takes the settings of a recording over, and says what its trace has to know of it. */
static void begin_recording(void) {
    char token[256], folder[1024];
    pthread_mutex_lock(&gv_define_lock);
    if (segment_token(token, sizeof token) && gv_folder(folder, sizeof folder) >= 0) {
        gv_settings_read(folder, token);
    }
    gv_define_process(gv_settings.detail);
    gv_define_filters();
    gv_objects_define();
    pthread_mutex_unlock(&gv_define_lock);
    gv_limit_events(gv_settings.max_events);
    gv_count_tokens_anew();
    uint32_t control = atomic_load(&gv_segment->control), fresh;
    do {
        fresh = (control & ~(GV_CONTROL_DETAIL_MASK | GV_CONTROL_PAUSED)) | wanted_control();
    } while (!atomic_compare_exchange_weak(&gv_segment->control, &control, fresh));
}

void gv_check_recording(void) {
    if (GV_LIKELY(atomic_load_explicit(&gv_segment->recording, memory_order_acquire) ==
                  atomic_load_explicit(&known_recording, memory_order_relaxed))) {
        return;
    }
    uint64_t error = gv_last_error();
    pthread_mutex_lock(&start_lock);
    uint32_t recording = atomic_load_explicit(&gv_segment->recording, memory_order_acquire);
    if (recording != atomic_load_explicit(&known_recording, memory_order_relaxed)) {
        begin_recording();
        atomic_store_explicit(&known_recording, recording, memory_order_relaxed);
    }
    pthread_mutex_unlock(&start_lock);
    gv_set_last_error(error);
}

static void start(void) {
    static bool registered;
    char output_path[4096];
    const char *token = own_token();
    bool own = !token && read_output_path(output_path, sizeof output_path);
    recorder_outside = token != NULL;
    read_settings(token);
    if (!gv_wanted() || (token && strchr(token, '/')) || !open_segment(token ? token : own ? "own" : "live")) {
        atomic_store(&gv_state, GV_OFF);
        return;
    }
    gv_limit_events(gv_settings.max_events);
    gv_threads_start();
    if (!registered) {
        registered = true;
        gv_on_fork(after_fork_in_child);
    }
    gv_objects_take_in(gv_attached);
    gv_objects_define();
    if (gv_attached) {
        gv_define_note(GV_NOTE_NOT_SEEN, "what was allocated and computed before the agent came: buffers are listed as "
                                         "far as the tensors seen since lie in them");
    }
    if (own) {
        start_drainer(output_path);
    }
    gv_attach_attend();
    atomic_store_explicit(&gv_state, GV_ON, memory_order_release);
}

bool gv_on_slow(void) {
    if (gv_inside) {
        return false;
    }
    uint64_t error = gv_last_error();
    gv_inside = true;
    pthread_mutex_lock(&start_lock);
    if (atomic_load(&gv_state) == GV_UNBORN) {
        start();
    }
    pthread_mutex_unlock(&start_lock);
    gv_inside = false;
    gv_set_last_error(error);
    return atomic_load(&gv_state) == GV_ON;
}
