/* This process, as every POSIX system tells of it. */
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

void gv_sleep_ns(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}
