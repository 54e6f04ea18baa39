/* How the agent comes into a process: preloaded, before the program begins; or attached, while it runs.
 *
 * Whoever attaches has written the recording's settings into the segments' folder under this process's number; without
 * them a library that is merely loaded does nothing. The thread that was interrupted to load the agent is let go at
 * once: all else is done by a thread of the agent's own, which then stays to take in what is loaded later. */
#include <stdio.h>

#include "agent/agent.h"
#include "agent/loader.h"
#include "platform/platform.h"

#define LOOK_PACE_NS 10000000u
#define IDLE_PACE_NS 100000000u
#define SETTLED_NS 50000000u

bool gv_attached;
char gv_attach_token[16];

static bool is_expected(void) {
    char folder[1024], path[1100];
    snprintf(gv_attach_token, sizeof gv_attach_token, "at%u", gv_process_id());
    if (gv_folder(folder, sizeof folder) < 0) {
        return false;
    }
    snprintf(path, sizeof path, "%s/.%s.settings", folder, gv_attach_token);
    return gv_file_exists(path);
}

static void *attend(void *nothing) {
    (void)nothing;
    if (!gv_on()) {
        return NULL;
    }
    gv_inside = true;
    /* A call that was being bound for the first time just then has been bound past the agent. */
    gv_sleep_ns(SETTLED_NS);
    gv_objects_forget();
    for (;;) {
        gv_objects_take_in(true);
        bool stopped = atomic_load_explicit(&gv_segment->control, memory_order_relaxed) & GV_CONTROL_STOPPED;
        gv_sleep_ns(stopped ? IDLE_PACE_NS : LOOK_PACE_NS);
    }
}

void gv_attach_attend(void) {
    static uint32_t attended;
    if (!gv_attached || attended == gv_process_id()) {
        return;
    }
    attended = gv_process_id();
    gv_thread_start(attend);
}

void gv_loaded(bool preloaded) {
    if (preloaded) {
        if (gv_wanted()) {
            gv_before_main();
            gv_objects_take_in(false);
        }
    } else if (is_expected()) {
        gv_attached = true;
        gv_attach_attend();
    }
}
