/* Rings: what a reader gets is whole and in its place, and what it does not get is counted. */
#include <pthread.h>

#include "support.h"

#define WRITERS 3

static char path[] = "ring.segment";

static struct gv_record record_number(uint32_t ring, uint64_t i) {
    uint64_t seed = i * WRITERS + ring;
    struct gv_record record = {.start = mixed(seed), .kind = GV_KIND_COPY, .run = (uint32_t)i};
    uint64_t words[2] = {mixed(seed + 1), mixed(seed + 2)};
    memcpy(&record.node, words, sizeof words);
    return record;
}

struct writer {
    const struct gv_view *view;
    uint32_t ring;
    uint64_t count;
};

static void *write_all(void *argument) {
    const struct writer *writer = argument;
    for (uint64_t i = 0; i < writer->count; i++) {
        struct gv_record record = record_number(writer->ring, i);
        put(writer->view, writer->ring, &record);
    }
    return NULL;
}

/* Reads what there is of a ring and checks it; returns how many records came. */
static uint64_t read_some(const struct gv_view *view, uint32_t ring, uint64_t *position, uint64_t *lost) {
    struct gv_record batch[100];
    uint64_t head = atomic_load_explicit(&view->rings[ring].head, memory_order_acquire), all = 0;
    while (*position < head) {
        size_t got = gv_view_copy(view, ring, position, head, batch, 100, lost);
        for (size_t i = 0; i < got; i++) {
            struct gv_record expected = record_number(ring, *position - got + i);
            CHECK(memcmp(&batch[i], &expected, sizeof expected) == 0);
        }
        all += got;
    }
    return all;
}

/* Writers at full speed against one reader. In small rings most is overwritten while it is read. */
static void race(uint32_t ring_records, uint64_t count) {
    struct gv_view view = make_segment(path, WRITERS, ring_records, 1);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    uint64_t position[WRITERS] = {0}, lost[WRITERS] = {0}, got[WRITERS] = {0};
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&view, i, count};
        CHECK_EQUAL(pthread_create(&threads[i], NULL, write_all, &writers[i]), 0);
    }
    for (bool all_read = false; !all_read;) {
        all_read = true;
        for (uint32_t i = 0; i < WRITERS; i++) {
            got[i] += read_some(&view, i, &position[i], &lost[i]);
            CHECK_EQUAL(got[i] + lost[i], position[i]);
            all_read = all_read && position[i] == count;
        }
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQUAL(got[i] + lost[i], count);
        CHECK(got[i] >= (count < ring_records ? count : 1));
    }
    gv_view_close(&view);
    unlink(path);
}

static void one_record_and_wrap(void) {
    struct gv_view view = make_segment(path, WRITERS, 8, 1);
    uint64_t position = 0, lost = 0;
    CHECK_EQUAL(read_some(&view, 1, &position, &lost), 0);
    write_all(&(struct writer){&view, 1, 1});
    CHECK_EQUAL(read_some(&view, 1, &position, &lost), 1);
    CHECK_EQUAL(read_some(&view, 1, &position, &lost), 0);
    CHECK_EQUAL(lost, 0);

    /* One slot less than the ring has: its writer may be at work in the oldest. */
    write_all(&(struct writer){&view, 2, 20});
    position = 0;
    CHECK_EQUAL(read_some(&view, 2, &position, &lost), 7);
    CHECK_EQUAL(lost, 13);
    CHECK_EQUAL(atomic_load(&view.rings[0].head), 0);
    gv_view_close(&view);
    unlink(path);
}

/* Segments that are not what they claim are refused, not read. */
static void refuse(void) {
    struct gv_view view = make_segment(path, WRITERS, 8, 1), again;
    struct gv_segment *s = view.segment, good = *s;
    struct {
        const char *what;
        void *at;
        size_t size;
    } words[] = {
        {"magic", &s->magic, 8},
        {"version", &s->version, 4},
        {"size", &s->size, 8},
        {"ring_count", &s->ring_count, 4},
        {"ring_records", &s->ring_records, 4},
        {"rings_offset", &s->rings_offset, 8},
        {"log_offset", &s->log_offset, 8},
        {"log_capacity", &s->log_capacity, 8},
        {"records_offset", &s->records_offset, 8},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        memset(words[i].at, 0xff, words[i].size);
        CHECK_EQUAL(gv_view_open(&again, path, true), -EINVAL);
        memcpy((void *)s, &good, sizeof good);
    }
    s->ring_records = 12; /* no power of two */
    CHECK_EQUAL(gv_view_open(&again, path, true), -EINVAL);
    s->ring_records = good.ring_records;
    atomic_store(&s->ready, 0);
    CHECK_EQUAL(gv_view_open(&again, path, true), -EAGAIN);
    atomic_store(&s->ready, 1);
    CHECK_EQUAL(gv_view_open(&again, path, true), 0);
    gv_view_close(&again);
    CHECK_EQUAL(truncate(path, 100), 0);
    CHECK_EQUAL(gv_view_open(&again, path, true), -EAGAIN);
    CHECK_EQUAL(gv_view_open(&again, "missing", true), -ENOENT);
    gv_view_close(&view);
    unlink(path);
}

int main(void) {
    one_record_and_wrap();
    refuse();
    race(4, 200000 / SLOWNESS);
    race(256, 1000000 / SLOWNESS);
    race(65536, 1000000 / SLOWNESS);
}
