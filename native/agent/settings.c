/* Reading the settings. The file is the user's own or is not read; whatever it holds, nothing worse follows than a
 * recording with other settings. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/settings.h"
#include "platform/platform.h"
#include "ring/segment.h"

#define FILE_BYTES 16384u
#define VALUE_BYTES 4096u

struct gv_settings gv_settings = {
    .detail = GV_DETAIL_THREAD, .first_token = 1, .last_token = UINT64_MAX, .children = true};

static void set_defaults(void) {
    gv_settings.detail = GV_DETAIL_THREAD;
    gv_settings.max_events = 0;
    gv_settings.ops[0] = gv_settings.backends[0] = gv_settings.nodes[0] = '\0';
    gv_settings.first_token = 1;
    gv_settings.last_token = UINT64_MAX;
    gv_settings.start_paused = gv_settings.per_node_sync = false;
    gv_settings.children = true;
}

/* --- values: each leaves the setting alone where the text makes no sense --- */

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++) {
        if (strcasecmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_switch(const char *text, bool before) {
    static const char *const on[] = {"1", "true", "yes", "on", NULL}, *const off[] = {"0", "false", "no", "off", NULL};
    return is_one_of(text, on) || (before && !is_one_of(text, off));
}

/* A number and where it ends; NULL: there is none. */
static const char *read_number(const char *text, uint64_t *value) {
    if (!isdigit((unsigned char)*text)) {
        return NULL;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno) {
        return NULL;
    }
    *value = number;
    return end;
}

static void read_tokens(const char *text) {
    uint64_t first = 1, last = UINT64_MAX;
    const char *at = *text == '-' ? text : read_number(text, &first);
    if (!at) {
        return;
    }
    if (!*at) {
        last = first;
    } else if (*at++ != '-' || (*at && (!(at = read_number(at, &last)) || *at))) {
        return;
    }
    if (first <= last) {
        gv_settings.first_token = first;
        gv_settings.last_token = last;
    }
}

/* Blanks around names are no part of them. A list that does not fit is cut between two names. */
static void read_list(const char *text, char *list) {
    size_t length = 0;
    while (*text) {
        size_t name = strcspn(text, ",");
        const char *next = text + name + (text[name] == ',');
        for (; name && isspace((unsigned char)*text); text++) {
            name--;
        }
        while (name && isspace((unsigned char)text[name - 1])) {
            name--;
        }
        if (name && length + (length > 0) + name < GV_SETTINGS_LIST_BYTES) {
            if (length) {
                list[length++] = ',';
            }
            memcpy(list + length, text, name);
            length += name;
        }
        text = next;
    }
    list[length] = '\0';
}

static void set_detail(const char *text) {
    static const char *const words[] = {
        [GV_DETAIL_GRAPH] = "graph", [GV_DETAIL_OP] = "op", [GV_DETAIL_THREAD] = "thread"};
    for (uint32_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            gv_settings.detail = i;
        }
    }
}

static void set_max_events(const char *text) {
    uint64_t number;
    const char *end = read_number(text, &number);
    if (end && !*end) {
        gv_settings.max_events = number;
    }
}

static void set_ops(const char *text) {
    read_list(text, gv_settings.ops);
}

static void set_backends(const char *text) {
    read_list(text, gv_settings.backends);
}

static void set_nodes(const char *text) {
    read_list(text, gv_settings.nodes);
}

static void set_start_paused(const char *text) {
    gv_settings.start_paused = read_switch(text, gv_settings.start_paused);
}

static void set_per_node_sync(const char *text) {
    gv_settings.per_node_sync = read_switch(text, gv_settings.per_node_sync);
}

static void set_children(const char *text) {
    gv_settings.children = read_switch(text, gv_settings.children);
}

static const struct {
    const char *key, *variable;
    void (*set)(const char *text);
} table[] = {
    {"detail", "GGML_VIZ_DETAIL", set_detail},
    {"max_events", "GGML_VIZ_MAX_EVENTS", set_max_events},
    {"ops", "GGML_VIZ_OPS", set_ops},
    {"backends", "GGML_VIZ_BACKENDS", set_backends},
    {"nodes", "GGML_VIZ_NODES", set_nodes},
    {"tokens", "GGML_VIZ_TOKENS", read_tokens},
    {"start_paused", "GGML_VIZ_START_PAUSED", set_start_paused},
    {"per_node_sync", "GGML_VIZ_PER_NODE_SYNC", set_per_node_sync},
    {"children", "GGML_VIZ_CHILDREN", set_children},
};
#define KEYS (sizeof table / sizeof *table)

/* --- where they come from --- */

static void read_environment(void) {
    for (size_t i = 0; i < KEYS; i++) {
        char value[VALUE_BYTES];
        if (gv_environment(table[i].variable, value, sizeof value)) {
            table[i].set(value);
        }
    }
}

static void read_line(char *line) {
    char *value = strchr(line, '=');
    if (!value) {
        return;
    }
    *value++ = '\0';
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(table[i].key, line) == 0) {
            table[i].set(value);
        }
    }
}

static bool read_from_file(const char *folder, const char *token) {
    char path[4096], content[FILE_BYTES];
    int length = snprintf(path, sizeof path, "%s/.%s.settings", folder, token);
    if (length < 0 || (size_t)length >= sizeof path || strchr(token, '/') ||
        !gv_file_read_own(path, content, sizeof content)) {
        return false;
    }
    char *rest = NULL;
    for (char *line = strtok_r(content, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        read_line(line);
    }
    return true;
}

bool gv_settings_read(const char *folder, const char *token) {
    bool found = true;
    set_defaults();
    if (token) {
        found = read_from_file(folder, token);
    } else {
        read_environment();
    }
    atomic_fetch_add_explicit(&gv_settings.generation, 1, memory_order_release);
    return found;
}
