/* What of a graph is wanted: decided once for each graph, so that a worker only looks up a bit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/agent.h"
#include "agent/settings.h"

const uint64_t gv_want_none[1], gv_want_elsewhere[1];

/* Calls `matches` for each item of a comma-separated list until one does. */
static bool any_item(const char *list, bool (*matches)(const char *item, size_t length, const char *text),
                     const char *text) {
    while (text && *list) {
        size_t length = strcspn(list, ",");
        if (matches(list, length, text)) {
            return true;
        }
        list += length + (list[length] == ',');
    }
    return false;
}

static bool is_name(const char *item, size_t length, const char *text) {
    return strlen(text) == length && strncasecmp(item, text, length) == 0;
}

/* A fused pair, as reports name it, is known by its first op. */
static bool is_op(const char *item, size_t length, const char *text) {
    const char *plus = memchr(item, '+', length);
    return is_name(item, plus ? (size_t)(plus - item) : length, text);
}

/* `*` stands for any characters, `?` for one. In one pass: only the last star is ever tried again. */
static bool is_pattern(const char *item, size_t length, const char *text) {
    const char *end = item + length, *star = NULL, *after_star = NULL;
    while (*text) {
        if (item < end && *item == '*') {
            star = ++item;
            after_star = text;
        } else if (item < end && (*item == '?' || *item == *text)) {
            item++;
            text++;
        } else if (star) {
            item = star;
            text = ++after_star;
        } else {
            return false;
        }
    }
    while (item < end && *item == '*') {
        item++;
    }
    return item == end;
}

bool gv_filter_nodes(const struct gv_runtime *r, struct ggml_tensor *const *nodes, uint32_t count, uint64_t **wanted) {
    *wanted = NULL;
    if (!gv_settings.ops[0] && !gv_settings.nodes[0]) {
        return true;
    }
    uint64_t *bits = calloc(count / 64 + 1, sizeof *bits);
    for (uint32_t i = 0; bits && i < count; i++) {
        const char *op = gv_op_text(r, nodes[i]);
        const char *name = GV_CALL(r, ggml_get_name, const char *(*)(const void *))(nodes[i]);
        if ((!gv_settings.ops[0] || any_item(gv_settings.ops, is_op, op)) &&
            (!gv_settings.nodes[0] || any_item(gv_settings.nodes, is_pattern, name))) {
            bits[i / 64] |= 1ull << (i % 64);
        }
    }
    *wanted = bits;
    return bits != NULL;
}

bool gv_filter_backend(const char *name) {
    return !gv_settings.backends[0] || any_item(gv_settings.backends, is_name, name);
}

/* --- in words --- */

/* "MUL_MAT,ROPE" as "MUL_MAT, ROPE". */
static void note_list(const char *what, const char *list) {
    char text[2 * GV_SETTINGS_LIST_BYTES + 128];
    if (!list[0]) {
        return;
    }
    int start = snprintf(text, sizeof text, GV_NOTE_FILTER "only %s were recorded: ", what);
    size_t length = (size_t)start;
    for (; *list && length < sizeof text - 3; list++) {
        text[length++] = *list;
        if (*list == ',') {
            text[length++] = ' ';
        }
    }
    text[length] = '\0';
    gv_define_note(GV_NOTE_INFO, text);
}

static void note_tokens(uint64_t first, uint64_t last) {
    char text[160];
    if (first == 1 && last == UINT64_MAX) {
        return;
    }
    if (last == UINT64_MAX) {
        snprintf(text, sizeof text, GV_NOTE_FILTER "only runs from generated token %llu on were recorded",
                 (unsigned long long)first);
    } else {
        snprintf(text, sizeof text, GV_NOTE_FILTER "only runs of generated tokens %llu to %llu were recorded",
                 (unsigned long long)first, (unsigned long long)last);
    }
    gv_define_note(GV_NOTE_INFO, text);
}

void gv_define_filters(void) {
    note_list("nodes of these ops", gv_settings.ops);
    note_list("nodes with such names", gv_settings.nodes);
    note_list("splits on these backends and their nodes", gv_settings.backends);
    note_tokens(gv_settings.first_token, gv_settings.last_token);
    if (gv_settings.start_paused) {
        gv_define_note(GV_NOTE_INFO, GV_NOTE_FILTER "nothing was recorded before it was resumed");
    }
    if (gv_settings.per_node_sync) {
        gv_define_note(GV_NOTE_DISTORTING,
                       GV_NOTE_FILTER "each node that a scheduler computes was computed by itself and waited for: "
                                      "nothing is fused or overlaps, short nodes take far longer than otherwise, and "
                                      "each node is a split of its own");
    }
}
