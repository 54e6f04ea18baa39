/* The recorder: segments come and go, and their processes die as they like. */
#include <signal.h>
#include <sys/wait.h>

#include "core/core.h"
#include "platform/platform.h"
#include "support.h"
#include "trace/drain.h"

#define CHILDREN 3
#define RECORDS 50000

static char folder[] = "segments", trace_path[] = "recorder.ggmlviz";

static const struct gv_recorder_options plain = {0}, late = {.since = GV_SINCE_NOW},
                                        looking = {.since = GV_SINCE_OLDEST};

enum death { EXITS, IS_KILLED, DIES_IN_A_RUN };

static void path_of(char *out, size_t capacity, const char *token, int number) {
    snprintf(out, capacity, "%s/%s.%d", folder, token, number);
}

/* A process that records, no more than its rings hold, and then dies. */
static pid_t start_child(const char *token, int number, enum death death) {
    pid_t child = fork();
    if (child) {
        return child;
    }
    char path[256], hidden[256];
    path_of(path, sizeof path, token, number);
    snprintf(hidden, sizeof hidden, "%s/.%d", folder, number);
    struct gv_view view = make_segment(hidden, 2, 32768, (uint32_t)getpid());
    rename(hidden, path);
    if (death == DIES_IN_A_RUN) {
        atomic_store(&view.segment->active[0].run, 1);
    }
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct gv_record record = {.start = i, .kind = GV_KIND_COPY, .run = 1, .copy = {.bytes = i}};
        put(&view, i % 2, &record);
        if (i % 1000 == 0) {
            gv_sleep_ns(2000000);
        }
    }
    if (death != EXITS) {
        kill(getpid(), SIGKILL);
    }
    _exit(0);
}

static void wait_for(pid_t child) {
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
}

static bool exists(const char *token, int number) {
    char path[256];
    path_of(path, sizeof path, token, number);
    return access(path, F_OK) == 0;
}

static void processes_die(void) {
    int error = 0;
    struct gv_recorder *recorder = gv_recorder_open(folder, "mine", trace_path, &plain, &error);
    CHECK(recorder && !error);
    struct gv_view other = make_segment("segments/minestrone.1", 1, 8, 1); /* of somebody else */
    pid_t children[CHILDREN];
    struct gv_recorder_status status;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = start_child("mine", i, (enum death)i);
        gv_recorder_drain(recorder, -1, 20, &status);
    }
    /* Dead, but not waited for, is dead. */
    for (int i = 0; i < 1000 && !(status.processes == CHILDREN && status.alive == 0); i++) {
        gv_recorder_drain(recorder, -1, 20, &status);
    }
    CHECK_EQUAL(status.alive, 0);
    CHECK(exists("minestrone", 1) && !exists("mine", 0) && !exists("mine", 1) && !exists("mine", 2));
    for (int i = 0; i < CHILDREN; i++) {
        wait_for(children[i]);
    }
    gv_recorder_close(recorder, &status);
    CHECK_EQUAL(status.processes, CHILDREN);
    CHECK_EQUAL(status.lost, 0);
    CHECK_EQUAL(status.records, CHILDREN * RECORDS + 1); /* and the run that never ended */
    CHECK_EQUAL(status.error, 0);

    struct trace trace = trace_read(trace_path);
    CHECK_EQUAL(trace.length, status.bytes);
    size_t count, unfinished = 0;
    struct gv_record *records = trace_records(&trace, &count);
    CHECK_EQUAL(count, status.records);
    for (size_t i = 0; i < count; i++) {
        unfinished += records[i].kind == GV_KIND_RUN && records[i].detail == GV_STATUS_UNFINISHED;
    }
    CHECK_EQUAL(unfinished, 1);
    size_t reasons[3] = {0};
    struct gv_chunk_header header;
    const uint8_t *payload;
    for (size_t at = 0; trace_next(&trace, &at, &header, &payload);) {
        if (header.kind == GV_CHUNK_DONE) {
            uint32_t reason;
            memcpy(&reason, payload, sizeof reason);
            CHECK(reason < 3);
            reasons[reason]++;
        }
    }
    CHECK(reasons[GV_DONE_ENDED] == 2 && reasons[GV_DONE_ABNORMAL] == 1);
    free(records);
    free(trace.data);
    gv_view_close(&other);
    unlink("segments/minestrone.1");
}

/* Recording ends while the process goes on: it is told, and keeps its segment. */
static void detach(void) {
    int error = 0;
    struct gv_recorder *recorder = gv_recorder_open(folder, "mine", trace_path, &plain, &error);
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_record record = {.kind = GV_KIND_COPY};
    put(&view, 0, &record);
    struct gv_recorder_status status;
    gv_recorder_close(recorder, &status); /* has never been drained */
    CHECK(status.processes == 1 && status.records == 1);
    CHECK(atomic_load(&view.segment->control) & GV_CONTROL_STOPPED);
    CHECK_EQUAL(atomic_load(&view.segment->recorder), 0);
    CHECK(exists("mine", 1));
    struct trace trace = trace_read(trace_path);
    uint32_t reason = 0;
    trace_last(&trace, GV_CHUNK_DONE, &reason, sizeof reason);
    CHECK_EQUAL(reason, GV_DONE_DETACHED);
    free(trace.data);
    gv_view_close(&view);
    unlink("segments/mine.1");
}

/* An idle agent is woken by a later recording, which has nothing of the one before. */
static void record_again(void) {
    int error = 0;
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_recorder_status status;
    struct gv_record record = {.kind = GV_KIND_COPY};
    for (uint32_t i = 1; i <= 3; i++) {
        put(&view, 0, &record); /* while nobody was recording */
        define(&view, GV_DEF_NAME, "name");
        struct gv_recorder *recorder = gv_recorder_open(folder, "mine.1", trace_path, &late, &error);
        gv_recorder_drain(recorder, -1, 1, &status);
        CHECK_EQUAL(status.processes, 1);
        CHECK_EQUAL(atomic_load(&view.segment->recorder), gv_process_word((uint32_t)getpid()));
        CHECK_EQUAL(atomic_load(&view.segment->recording), i);
        CHECK(!(atomic_load(&view.segment->control) & (GV_CONTROL_STOPPED | GV_CONTROL_PAUSED)));
        put(&view, 0, &record);
        put(&view, 0, &record);
        gv_recorder_close(recorder, &status);
        CHECK_EQUAL(status.records, 2);
        struct trace trace = trace_read(trace_path);
        struct gv_stat stat;
        trace_last(&trace, GV_CHUNK_STAT, &stat, sizeof stat);
        CHECK_EQUAL(stat.written, 2);
        uint32_t names = 0;
        struct gv_chunk_header header;
        const uint8_t *payload;
        for (size_t at = 0; trace_next(&trace, &at, &header, &payload);) {
            names += header.kind == GV_CHUNK_DEFS ? header.length / 16 : 0;
        }
        CHECK_EQUAL(names, i);
        free(trace.data);
    }
    gv_view_close(&view);
    unlink("segments/mine.1");
}

/* A viewer sees what the rings still hold, beside who records, and leaves everything as it is. */
static void look_on(void) {
    int error = 0;
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_recorder_status status;
    for (uint32_t run = 1; run <= 20; run++) {
        struct gv_record record = {.kind = GV_KIND_COPY, .run = run};
        put(&view, 0, &record);
    }
    atomic_store(&view.segment->recorder, (uint32_t)getppid());
    struct gv_recorder *viewer = gv_recorder_open(folder, "mine.1", trace_path, &looking, &error);
    gv_recorder_drain(viewer, -1, 1, &status);
    CHECK_EQUAL(status.processes, 1);
    CHECK_EQUAL(status.refused, 0);
    /* The ring of 8 had overwritten the others; of the first run that is left something may be gone. */
    CHECK(status.records >= 6 && status.records <= 7);
    CHECK_EQUAL(status.lost, 0);
    struct gv_now now;
    CHECK_EQUAL(gv_recorder_now(viewer, &now), 0);
    CHECK_EQUAL(now.run_count, 0);
    CHECK_EQUAL(now.recorder, getppid());
    gv_recorder_close(viewer, &status);
    CHECK_EQUAL(atomic_load(&view.segment->recorder), getppid());
    CHECK_EQUAL(atomic_load(&view.segment->recording), 0);
    CHECK(!(atomic_load(&view.segment->control) & GV_CONTROL_STOPPED));
    CHECK_EQUAL(access("segments/mine.1", F_OK), 0);
    gv_view_close(&view);
    unlink("segments/mine.1");
}

/* A segment has one recorder, as long as that lives. */
static void refused(void) {
    int error = 0;
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_recorder_status status;
    pid_t other = fork();
    if (!other) {
        pause();
        _exit(0);
    }
    atomic_store(&view.segment->recorder, (uint32_t)other);
    struct gv_recorder *recorder = gv_recorder_open(folder, "mine", trace_path, &late, &error);
    gv_recorder_drain(recorder, -1, 1, &status);
    CHECK(status.processes == 0 && status.refused == (uint32_t)other);
    CHECK_EQUAL(atomic_load(&view.segment->recorder), other);
    CHECK_EQUAL(atomic_load(&view.segment->recording), 0);
    kill(other, SIGKILL);
    wait_for(other);
    gv_recorder_drain(recorder, -1, 300, &status);
    CHECK(status.processes == 1 && status.refused == 0);
    gv_recorder_close(recorder, &status);
    gv_view_close(&view);
    unlink("segments/mine.1");
}

/* Systems give a number again: who has it now is not who recorded. */
static void number_given_again(void) {
    int error = 0;
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_recorder_status status;
    uint64_t parent = gv_process_word((uint32_t)getppid());
    CHECK_EQUAL(gv_process_of(parent), getppid());
    atomic_store(&view.segment->recorder, parent ^ 1ull << 32);
    struct gv_recorder *recorder = gv_recorder_open(folder, "mine", trace_path, &late, &error);
    gv_recorder_drain(recorder, -1, 1, &status);
    CHECK(status.processes == 1 && status.refused == 0);
    gv_recorder_close(recorder, &status);
    gv_view_close(&view);
    unlink("segments/mine.1");
}

static void messages(void) {
    int error = 0;
    struct gv_recorder *recorder = gv_recorder_open(folder, "mine", trace_path, &plain, &error);
    struct gv_view view = make_segment("segments/mine.1", 1, 8, (uint32_t)getpid());
    struct gv_recorder_status status;
    uint32_t who[2];
    char text[8];
    define(&view, GV_DEF_NOTE, "\1\5hello");
    define(&view, GV_DEF_NOTE, "\1\177longer than its entry");
    define(&view, GV_DEF_NOTE, "\2\13hello again");
    gv_recorder_drain(recorder, -1, 1, &status);
    CHECK_EQUAL(gv_recorder_message(recorder, who, text, sizeof text), 5);
    CHECK(who[0] == (uint32_t)getpid() && who[1] == 1 && memcmp(text, "hello", 5) == 0);
    CHECK_EQUAL(gv_recorder_message(recorder, who, text, sizeof text), sizeof text);
    CHECK(who[1] == 2 && memcmp(text, "hello ag", 8) == 0);
    CHECK_EQUAL(gv_recorder_message(recorder, who, text, sizeof text), -1);
    gv_recorder_close(recorder, &status);
    gv_view_close(&view);
    unlink("segments/mine.1");
}

static void sweep(void) {
    pid_t child = start_child("stale", 1, IS_KILLED);
    wait_for(child);
    struct gv_view live = make_segment("segments/live.1", 1, 8, (uint32_t)getpid());
    FILE *empty = fopen("segments/half-made.1", "w");
    fclose(empty);
    CHECK_EQUAL(gv_segments_sweep(folder), 2);
    CHECK(exists("live", 1) && !exists("stale", 1) && !exists("half-made", 1));
    gv_view_close(&live);
    unlink("segments/live.1");
}

int main(void) {
    CHECK_EQUAL(mkdir(folder, 0700), 0);
    int error = 0;
    CHECK(!gv_recorder_open(folder, "mine", "missing/trace", &plain, &error) && error == ENOENT);
    processes_die();
    detach();
    record_again();
    look_on();
    refused();
    number_given_again();
    messages();
    sweep();
    CHECK_EQUAL(rmdir(folder), 0);
}
