/* This process, as every POSIX system tells of it. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"

uint32_t gv_process_id(void) {
    return (uint32_t)getpid();
}

uint32_t gv_parent_process_id(void) {
    return (uint32_t)getppid();
}

uint32_t gv_process_group(void) {
    return (uint32_t)getpgrp();
}

uint32_t gv_cpus(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

size_t gv_page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t gv_environment(const char *name, char *out, size_t capacity) {
    const char *value = getenv(name);
    return (size_t)snprintf(out, capacity, "%s", value ? value : "");
}

bool gv_thread_start(void *(*function)(void *)) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    bool good = pthread_create(&thread, NULL, function, NULL) == 0;
    if (good) {
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return good;
}

static bool exceeds_file_size(void) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ);
}

void gv_undisturbed(void (*function)(void)) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool exceeded = exceeds_file_size();
    function();
    if (!exceeded && exceeds_file_size()) {
        /* A write beyond the limit has left it for this thread. */
        sigset_t limit;
        int got;
        sigemptyset(&limit);
        sigaddset(&limit, SIGXFSZ);
        sigwait(&limit, &got);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint64_t gv_last_error(void) {
    return (uint64_t)errno;
}

void gv_set_last_error(uint64_t error) {
    errno = (int)error;
}

void gv_sleep_ns(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}
