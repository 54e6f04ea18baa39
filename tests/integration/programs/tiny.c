/* Goes through what can happen to a process that uses ggml, step by step as its command line says, and prints what it
 * computed.
 *
 * Usage: tiny PLUGIN THREADS STEP…
 *   load, unload     the plugin, and with it ggml, unless it is linked in; unload fails if its CPU backend stays
 *   also:LIBRARY     loads another library, which stays
 *   run:N            computes the graph N times
 *   threads:N        makes N threads, one after the other; each computes the graph once
 *   input            says that it is ready and computes the graph until its input ends
 *   paced:N          the same, N times a second
 *   wait             waits until its input ends
 *   forever          says that it is ready and computes the graph until it is killed
 *   fork             goes on as two processes; the parent waits for the child before its last step
 *   exec             becomes this program again, with the steps that are left
 *   quit, kill       ends by _exit, by SIGKILL
 */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tiny_graph.h"

static const char *plugin;
static void *handle;
static tiny_compute *compute;
static int threads;
static long computed;
static pid_t child;

static void fail(const char *what) {
    fprintf(stderr, "tiny: %s\n", what);
    exit(1);
}

/* What a plugin has, if it is linked into this program. */
extern tiny_compute tiny_compute_graph __attribute__((weak));

static void load(void) {
    if (tiny_compute_graph) {
        compute = tiny_compute_graph;
        return;
    }
    handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        fail(dlerror());
    *(void **)&compute = dlsym(handle, "tiny_compute_graph");
}

static void unload(void) {
    if (dlclose(handle) != 0)
        fail(dlerror());
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4352];
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "libggml-cpu"))
            fail("ggml is still there");
    }
    fclose(maps);
}

static void load_also(const char *library) {
    if (!dlopen(library, RTLD_NOW | RTLD_LOCAL))
        fail(dlerror());
}

static void run(int runs) {
    if (compute(threads, runs) != 0)
        fail("a wrong result");
    __atomic_fetch_add(&computed, runs, __ATOMIC_RELAXED);
}

static void *run_once(void *nothing) {
    run(1);
    return nothing;
}

static void run_in_threads(int count) {
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run_once, NULL) != 0)
            fail("no thread");
        pthread_join(thread, NULL);
    }
}

static void ready(void) {
    run(1);
    printf("ready, process %d\n", (int)getpid());
    fflush(stdout);
}

static void run_until_input_ends(void) {
    ready();
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) == 0) {
        run(100);
    }
}

static void run_paced(int per_second) {
    ready();
    struct pollfd input = {.fd = 0, .events = POLLIN};
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (poll(&input, 1, 0) == 0) {
        run(per_second / 100);
        due.tv_nsec += 10000000;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}

static void end(void) {
    printf("%ld computed by %d\n", computed, (int)getpid());
    fflush(stdout);
    int status = 0;
    if (child > 0 && (waitpid(child, &status, 0) != child || status != 0))
        fail("the child failed");
}

int main(int count, char **words) {
    if (count < 3)
        fail("usage: tiny PLUGIN THREADS STEP…");
    plugin = words[1];
    threads = atoi(words[2]);
    for (int i = 3; i < count; i++) {
        const char *step = words[i];
        if (strcmp(step, "load") == 0) {
            load();
        } else if (strcmp(step, "unload") == 0) {
            unload();
        } else if (strncmp(step, "also:", 5) == 0) {
            load_also(step + 5);
        } else if (strncmp(step, "run:", 4) == 0) {
            run(atoi(step + 4));
        } else if (strncmp(step, "threads:", 8) == 0) {
            run_in_threads(atoi(step + 8));
        } else if (strcmp(step, "input") == 0) {
            run_until_input_ends();
        } else if (strncmp(step, "paced:", 6) == 0) {
            run_paced(atoi(step + 6));
        } else if (strcmp(step, "wait") == 0) {
            struct pollfd input = {.fd = 0, .events = POLLIN};
            poll(&input, 1, -1);
        } else if (strcmp(step, "forever") == 0) {
            ready();
            for (;;)
                run(100);
        } else if (strcmp(step, "fork") == 0) {
            child = fork();
            computed = child == 0 ? 0 : computed;
        } else if (strcmp(step, "exec") == 0) {
            end();
            words[i] = words[2];
            words[i - 1] = words[1];
            words[i - 2] = words[0];
            execv("/proc/self/exe", words + i - 2);
            fail("exec");
        } else if (strcmp(step, "quit") == 0) {
            end();
            _exit(0);
        } else if (strcmp(step, "kill") == 0) {
            end();
            kill(getpid(), SIGKILL);
        } else {
            fail(step);
        }
    }
    end();
    return 0;
}
