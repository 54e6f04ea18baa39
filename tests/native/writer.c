/* The trace file's writer: whole chunks or none, and only into a file that is its own. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "support.h"
#include "trace/writer.h"

static char path[] = "writer.ggmlviz";
static uint8_t payload[1000];

static size_t count_chunks(uint32_t kind) {
    struct trace trace = trace_read(path);
    struct gv_chunk_header header;
    const uint8_t *at_payload;
    size_t count = 0;
    for (size_t at = 0; trace_next(&trace, &at, &header, &at_payload);) {
        count += header.kind == kind;
    }
    free(trace.data);
    return count;
}

static uint64_t file_size(void) {
    struct stat status;
    CHECK_EQUAL(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

static void write_chunks(void) {
    struct gv_writer writer;
    CHECK_EQUAL(gv_writer_create(&writer, path), 0);
    gv_writer_chunk(&writer, GV_CHUNK_RECS, 1, payload, sizeof payload);
    gv_writer_chunk(&writer, GV_CHUNK_DONE, 1, NULL, 0);
    CHECK_EQUAL(writer.error, 0);
    CHECK_EQUAL(writer.bytes, file_size());
    gv_writer_close(&writer);
    CHECK_EQUAL(count_chunks(GV_CHUNK_RECS), 1);
    CHECK_EQUAL(count_chunks(GV_CHUNK_DONE), 1);
    CHECK_EQUAL(gv_writer_create(&writer, "missing/folder"), ENOENT);
}

/* No more room in the middle of a chunk: the file is cut back, and nothing is written after it. */
static void no_room(void) {
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 16; room < 4000; room += 97) {
        struct rlimit limit = {.rlim_cur = room, .rlim_max = RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        struct gv_writer writer;
        CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
        CHECK_EQUAL(gv_writer_create(&writer, path), 0);
        for (int i = 0; i < 10; i++) {
            gv_writer_chunk(&writer, GV_CHUNK_RECS, 1, payload, sizeof payload);
        }
        gv_writer_chunk(&writer, GV_CHUNK_DONE, 1, NULL, 0);
        CHECK(writer.error == EFBIG || writer.error == ENOSPC);
        CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
        gv_writer_chunk(&writer, GV_CHUNK_DONE, 1, NULL, 0);
        gv_writer_close(&writer);
        CHECK_EQUAL(writer.bytes, file_size());
        CHECK_EQUAL(count_chunks(GV_CHUNK_RECS), (room - 16) / (16 + sizeof payload));
        CHECK_EQUAL(count_chunks(GV_CHUNK_DONE), 0);
    }
}

/* In a child, of the parent's process group or of its own: joins the file and writes a chunk. */
static void join_in_child(bool own_group, int expected) {
    pid_t child = fork();
    if (child == 0) {
        if (own_group) {
            setpgid(0, 0);
        }
        struct gv_writer writer;
        int error = gv_writer_join(&writer, path);
        if (!error) {
            gv_writer_chunk(&writer, GV_CHUNK_RECS, (uint32_t)getpid(), payload, sizeof payload);
            error = writer.error;
        }
        gv_writer_close(&writer);
        _exit(error);
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQUAL(WEXITSTATUS(status), expected);
}

static void join(void) {
    unlink(path);
    join_in_child(false, 0);
    join_in_child(false, 0);
    CHECK_EQUAL(count_chunks(GV_CHUNK_GRUP), 1);
    CHECK_EQUAL(count_chunks(GV_CHUNK_RECS), 2);
    join_in_child(true, 0); /* another job: the file begins anew */
    CHECK_EQUAL(count_chunks(GV_CHUNK_RECS), 1);
    write_chunks(); /* so does one that a recorder has written */
    join_in_child(false, 0);
    CHECK_EQUAL(count_chunks(GV_CHUNK_DONE), 0);

    FILE *text = fopen(path, "w");
    fputs("a letter to my mother", text);
    fclose(text);
    join_in_child(false, EEXIST);
    CHECK_EQUAL(file_size(), 21);
    unlink(path);
}

/* Many processes of one job at once: none spoils what another has written. */
static void join_at_once(bool old_trace) {
    enum { CHILDREN = 8, CHUNKS = 50 };
    unlink(path);
    if (old_trace) {
        write_chunks();
    }
    int gate[2];
    CHECK_EQUAL(pipe(gate), 0);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            char nothing;
            close(gate[1]);
            CHECK_EQUAL(read(gate[0], &nothing, 1), 0); /* until all are there */
            struct gv_writer writer;
            int error = gv_writer_join(&writer, path);
            for (int k = 0; k < CHUNKS && !error; k++) {
                gv_writer_chunk(&writer, GV_CHUNK_RECS, (uint32_t)getpid(), payload, sizeof payload);
                error = writer.error;
            }
            gv_writer_close(&writer);
            _exit(error);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0, status; i < CHILDREN; i++) {
        CHECK(wait(&status) > 0);
        CHECK_EQUAL(status, 0);
    }
    CHECK_EQUAL(count_chunks(GV_CHUNK_GRUP), 1);
    CHECK_EQUAL(count_chunks(GV_CHUNK_RECS), CHILDREN * CHUNKS);
    unlink(path);
}

int main(void) {
    write_chunks();
    no_room();
    join();
    for (int i = 0; i < 20; i++) {
        join_at_once(false);
        join_at_once(true);
    }
}
