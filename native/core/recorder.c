/* The recorder: finds the segments of one run as they appear and drains them all into one trace. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "platform/clock.h"
#include "platform/platform.h"
#include "trace/drain.h"

/* How long to sleep between steps: short while rings fill quickly, long while nothing happens. */
#define PACE_MIN_NS 1000000u
#define PACE_MAX_NS 50000000u
/* How often to look for segments: the first one soon, later ones and ends of processes at leisure. */
#define FIRST_SCAN_INTERVAL_NS 20000000u
#define SCAN_INTERVAL_NS 100000000u
#define NAME_LENGTH 256u
#define MESSAGES 64u
#define MESSAGE_BYTES 512u

struct watched {
    struct watched *next;
    struct gv_drain *drain; /* NULL: ended */
    char name[NAME_LENGTH];
};

struct message {
    uint32_t pid, level;
    size_t length;
    char text[MESSAGE_BYTES];
};

struct gv_recorder {
    struct gv_writer writer;
    struct watched *watched;
    char folder[4096];
    char token[NAME_LENGTH];
    enum gv_since since;
    bool looking; /* it is a viewer, and leaves segments as they are */
    uint32_t processes;
    uint32_t refused; /* at the last scan */
    uint64_t next_scan_ns;
    uint64_t pace_ns;
    uint64_t ended_records, ended_lost;
    struct message messages[MESSAGES]; /* a queue */
    uint32_t first_message, message_count;
};

static void path_of(const struct gv_recorder *recorder, const char *name, char *out, size_t capacity) {
    snprintf(out, capacity, "%s/%s", recorder->folder, name);
}

/* Takes the segment for this recorder. Returns 0, or the living process that records it already. */
static uint32_t claim(struct gv_segment *segment) {
    uint64_t holder = 0, own = gv_process_word(gv_process_id());
    for (int tries = 0; tries < 100; tries++) { /* a word that never stays the same is nobody's claim */
        if (atomic_compare_exchange_strong(&segment->recorder, &holder, own)) {
            return 0;
        }
        uint32_t process = gv_process_of(holder);
        if (process) {
            return process;
        }
    }
    return UINT32_MAX;
}

static void release(struct gv_segment *segment) {
    uint64_t own = gv_process_word(gv_process_id());
    atomic_compare_exchange_strong(&segment->recorder, &own, 0);
}

/* Has an idle agent record again: it reads the settings that were left for it before it does. */
static void wake(struct gv_segment *segment) {
    atomic_fetch_add_explicit(&segment->recording, 1, memory_order_release);
    atomic_fetch_and_explicit(&segment->control, ~(GV_CONTROL_STOPPED | GV_CONTROL_PAUSED), memory_order_release);
}

static void keep_message(void *context, uint32_t pid, uint32_t level, const char *text, size_t length) {
    struct gv_recorder *recorder = context;
    if (recorder->message_count == MESSAGES) {
        return;
    }
    struct message *message = &recorder->messages[(recorder->first_message + recorder->message_count++) % MESSAGES];
    message->pid = pid;
    message->level = level;
    message->length = length < MESSAGE_BYTES ? length : MESSAGE_BYTES;
    memcpy(message->text, text, message->length);
}

int64_t gv_recorder_message(struct gv_recorder *recorder, uint32_t who[2], char *out, size_t capacity) {
    if (!recorder->message_count) {
        return -1;
    }
    const struct message *message = &recorder->messages[recorder->first_message];
    recorder->first_message = (recorder->first_message + 1) % MESSAGES;
    recorder->message_count--;
    who[0] = message->pid;
    who[1] = message->level;
    size_t length = message->length < capacity ? message->length : capacity;
    memcpy(out, message->text, length);
    return (int64_t)length;
}

static bool is_wanted(const struct gv_recorder *recorder, const char *name) {
    size_t length = strlen(recorder->token);
    return strlen(name) < NAME_LENGTH && (name[length] == '.' || name[length] == '\0');
}

static void found(const char *name, void *context) {
    struct gv_recorder *recorder = context;
    if (!is_wanted(recorder, name)) {
        return;
    }
    for (struct watched *w = recorder->watched; w; w = w->next) {
        if (strcmp(w->name, name) == 0) {
            return;
        }
    }
    char path[8192];
    path_of(recorder, name, path, sizeof path);
    struct gv_view view;
    if (gv_view_open(&view, path, !recorder->looking) != 0) {
        return; /* not ready yet: the next scan finds it */
    }
    uint32_t holder = recorder->looking ? 0 : claim(view.segment);
    if (holder) {
        recorder->refused = holder;
        gv_view_close(&view);
        return;
    }
    struct watched *watched = calloc(1, sizeof *watched);
    struct gv_drain *drain =
        watched ? gv_drain_open(&view, &recorder->writer, recorder->processes + 1, recorder->since) : NULL;
    if (!drain) {
        free(watched);
        if (!recorder->looking) {
            release(view.segment);
        }
        gv_view_close(&view);
        return;
    }
    if (recorder->since == GV_SINCE_NOW) {
        wake(view.segment);
    }
    gv_drain_on_note(drain, keep_message, recorder);
    recorder->processes++;
    watched->drain = drain;
    memcpy(watched->name, name, strlen(name) + 1);
    watched->next = recorder->watched;
    recorder->watched = watched;
}

static void end(struct gv_recorder *recorder, struct watched *watched, enum gv_done reason) {
    struct gv_stat stat;
    recorder->ended_records += gv_drain_finish(watched->drain, reason, &stat);
    recorder->ended_lost += stat.lost;
    if (!recorder->looking && reason == GV_DONE_DETACHED) {
        release(gv_drain_view(watched->drain)->segment);
    }
    gv_drain_abandon(watched->drain);
    watched->drain = NULL;
    if (!recorder->looking && reason != GV_DONE_DETACHED) {
        /* Only now: some systems keep a file that is mapped. */
        char path[8192];
        path_of(recorder, watched->name, path, sizeof path);
        gv_file_remove(path);
    }
}

static void scan(struct gv_recorder *recorder) {
    recorder->refused = 0;
    gv_list(recorder->folder, recorder->token, found, recorder);
    for (struct watched *w = recorder->watched; w; w = w->next) {
        if (w->drain) {
            const struct gv_view *view = gv_drain_view(w->drain);
            const struct gv_segment *s = view->segment;
            /* A viewer must not even try to lock it: the recorder would find it held. */
            bool over = recorder->looking ? gv_process_gone(s->pid, s->process_start)
                                          : gv_segment_abandoned(view->fd, s->pid, s->process_start);
            if (over) {
                end(recorder, w, GV_DONE_ENDED);
            }
        }
    }
    uint64_t interval = recorder->watched ? SCAN_INTERVAL_NS : FIRST_SCAN_INTERVAL_NS;
    recorder->next_scan_ns = gv_nanoseconds(CLOCK_MONOTONIC) + interval;
}

static unsigned step(struct gv_recorder *recorder) {
    unsigned fullest = 0;
    for (struct watched *w = recorder->watched; w; w = w->next) {
        if (w->drain) {
            unsigned percent = gv_drain_step(w->drain);
            fullest = percent > fullest ? percent : fullest;
        }
    }
    return fullest;
}

static void report(const struct gv_recorder *recorder, struct gv_recorder_status *status) {
    *status = (struct gv_recorder_status){
        .processes = recorder->processes,
        .records = recorder->ended_records,
        .lost = recorder->ended_lost,
        .bytes = recorder->writer.bytes,
        .error = recorder->writer.error,
        .refused = recorder->refused,
    };
    for (struct watched *w = recorder->watched; w; w = w->next) {
        if (w->drain) {
            status->alive++;
            status->records += gv_drain_records(w->drain);
            status->lost += gv_drain_stat(w->drain).lost;
        }
    }
}

int gv_recorder_now(const struct gv_recorder *recorder, struct gv_now *now) {
    for (const struct watched *w = recorder->watched; w; w = w->next) {
        if (w->drain) {
            gv_view_now(gv_drain_view(w->drain), now);
            return 0;
        }
    }
    return -ESRCH;
}

struct gv_recorder *gv_recorder_open(const char *folder, const char *token, const char *path,
                                     const struct gv_recorder_options *options, int *error) {
    struct gv_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) {
        *error = ENOMEM;
        return NULL;
    }
    int folder_length = snprintf(recorder->folder, sizeof recorder->folder, "%s", folder);
    int token_length = snprintf(recorder->token, sizeof recorder->token, "%s", token);
    if (folder_length >= (int)sizeof recorder->folder || token_length >= (int)sizeof recorder->token) {
        *error = ENAMETOOLONG;
    } else {
        *error = options->max_bytes ? gv_writer_create_circular(&recorder->writer, path, options->max_bytes)
                                    : gv_writer_create(&recorder->writer, path);
    }
    if (*error) {
        free(recorder);
        return NULL;
    }
    if (options->machine) {
        gv_writer_chunk(&recorder->writer, GV_CHUNK_MACH, 0, options->machine, strlen(options->machine));
    }
    recorder->since = options->since;
    recorder->looking = options->since == GV_SINCE_OLDEST;
    recorder->pace_ns = PACE_MIN_NS;
    return recorder;
}

void gv_recorder_drain(struct gv_recorder *recorder, intptr_t process, int timeout_ms,
                       struct gv_recorder_status *status) {
    uint64_t deadline = gv_nanoseconds(CLOCK_MONOTONIC) + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
    for (;;) {
        uint64_t now = gv_nanoseconds(CLOCK_MONOTONIC);
        if (now >= recorder->next_scan_ns) {
            scan(recorder);
        }
        unsigned fullest = step(recorder);
        if (fullest > 5) {
            recorder->pace_ns = recorder->pace_ns / 2 < PACE_MIN_NS ? PACE_MIN_NS : recorder->pace_ns / 2;
        } else if (fullest < 2) {
            recorder->pace_ns = recorder->pace_ns * 2 > PACE_MAX_NS ? PACE_MAX_NS : recorder->pace_ns * 2;
        }
        now = gv_nanoseconds(CLOCK_MONOTONIC);
        if (now >= deadline) {
            break;
        }
        uint64_t left = deadline - now;
        if (gv_wait_exit(process, left < recorder->pace_ns ? left : recorder->pace_ns)) {
            break;
        }
    }
    report(recorder, status);
}

void gv_recorder_close(struct gv_recorder *recorder, struct gv_recorder_status *status) {
    scan(recorder);
    for (struct watched *w = recorder->watched; w; w = w->next) {
        if (w->drain) {
            if (!recorder->looking) {
                struct gv_segment *segment = gv_drain_view(w->drain)->segment;
                atomic_fetch_or_explicit(&segment->control, GV_CONTROL_STOPPED, memory_order_relaxed);
            }
            end(recorder, w, GV_DONE_DETACHED);
        }
    }
    if (!recorder->looking) {
        gv_flush(recorder->writer.fd);
    }
    gv_writer_close(&recorder->writer);
    report(recorder, status);
    while (recorder->watched) {
        struct watched *next = recorder->watched->next;
        free(recorder->watched);
        recorder->watched = next;
    }
    free(recorder);
}

int gv_file_let_go(int fd, const uint64_t (*parts)[2], size_t count) {
    for (size_t i = 0; i < count; i++) {
        int error = gv_give_back(fd, parts[i][0], parts[i][1]);
        if (error) {
            return error;
        }
    }
    return 0;
}

struct sweep {
    const char *folder;
    int removed;
};

static void sweep_one(const char *name, void *context) {
    struct sweep *sweep = context;
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", sweep->folder, name);
    uint64_t size;
    int fd = gv_segment_open(path, &size, false);
    if (fd < 0) {
        return;
    }
    /* A segment without a whole header was left by a process that died while making it. */
    uint32_t pid = 0;
    uint64_t start = 0;
    const struct gv_segment *segment = size >= GV_PAGE ? gv_map(fd, size) : NULL;
    if (segment) {
        pid = segment->pid;
        start = segment->version == GV_SEGMENT_VERSION ? segment->process_start : 0;
        gv_unmap((void *)segment, size);
    }
    if (gv_segment_abandoned(fd, pid, start)) {
        gv_file_remove(path);
        sweep->removed++;
    }
    gv_close(fd);
}

/* Of what is hidden, only settings: they are locked before they have that name, a segment in the making may not be. */
static void sweep_hidden(const char *name, void *context) {
    static const char suffix[] = ".settings";
    size_t length = strlen(name);
    if (length >= sizeof suffix && strcmp(name + length - (sizeof suffix - 1), suffix) == 0) {
        sweep_one(name, context);
    }
}

int gv_segments_sweep(const char *folder) {
    struct sweep sweep = {.folder = folder};
    gv_list(folder, "", sweep_one, &sweep);
    gv_list(folder, ".", sweep_hidden, &sweep);
    return sweep.removed;
}
