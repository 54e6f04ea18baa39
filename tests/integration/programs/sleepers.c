/* Threads that wait, each in another system call, for what is given when a line is read; then each says what its call
 * returned. Prints "name thread-id" for each, then "ready"; at the end "name ok" or what went wrong. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int pipes[6][2];
static sem_t semaphore;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int given;

static int in_read(void) {
    char byte;
    return read(pipes[0][0], &byte, 1) == 1;
}

static int in_poll(void) {
    struct pollfd descriptor = {.fd = pipes[1][0], .events = POLLIN};
    return poll(&descriptor, 1, -1) == 1;
}

static int in_epoll(void) {
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, pipes[2][0], &event);
    int got;
    do { /* the one call that the system itself does not resume after a stop; every program has this loop */
        got = epoll_wait(set, &event, 1, -1);
    } while (got < 0 && errno == EINTR);
    return got == 1;
}

static int in_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[3][0], &set);
    return select(pipes[3][0] + 1, &set, NULL, NULL, NULL) == 1;
}

static int in_receive(void) {
    char byte;
    return recv(pipes[4][0], &byte, 1, 0) == 1;
}

static int in_semaphore(void) {
    return sem_wait(&semaphore) == 0;
}

static int in_condition(void) {
    pthread_mutex_lock(&lock);
    while (!given) {
        pthread_cond_wait(&condition, &lock);
    }
    pthread_mutex_unlock(&lock);
    return 1;
}

static int in_sleep(void) {
    struct timespec time = {.tv_sec = 4}, left;
    return nanosleep(&time, &left) == 0;
}

static struct {
    const char *name;
    int (*wait)(void);
    int good, error;
} waits[] = {
    {"read", in_read, 0, 0},     {"poll", in_poll, 0, 0},           {"epoll", in_epoll, 0, 0},
    {"select", in_select, 0, 0}, {"receive", in_receive, 0, 0},     {"semaphore", in_semaphore, 0, 0},
    {"sleep", in_sleep, 0, 0},   {"condition", in_condition, 0, 0},
};
enum { COUNT = sizeof waits / sizeof *waits };

static void *run(void *at) {
    size_t i = (size_t)at;
    pthread_mutex_lock(&lock);
    printf("%s %ld\n", waits[i].name, (long)syscall(SYS_gettid));
    pthread_mutex_unlock(&lock);
    waits[i].good = waits[i].wait();
    waits[i].error = errno;
    return NULL;
}

int main(void) {
    for (int i = 0; i < 6; i++) {
        if ((i == 4 ? socketpair(AF_UNIX, SOCK_STREAM, 0, pipes[i]) : pipe(pipes[i])) != 0) {
            return 1;
        }
    }
    sem_init(&semaphore, 0, 0);
    pthread_t threads[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        pthread_create(&threads[i], NULL, run, (void *)i);
    }
    usleep(100000);
    printf("ready\n");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) {
        return 1;
    }
    for (int i = 0; i < 6; i++) {
        if (write(pipes[i][1], "x", 1) != 1) {
            return 1;
        }
    }
    sem_post(&semaphore);
    pthread_mutex_lock(&lock);
    given = 1;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < COUNT; i++) {
        pthread_join(threads[i], NULL);
        if (waits[i].good) {
            printf("%s ok\n", waits[i].name);
        } else {
            printf("%s %s\n", waits[i].name, strerror(waits[i].error));
        }
    }
    return 0;
}
