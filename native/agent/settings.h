/* What the user asked the agent to do: one table, read at the start of each recording.
 *
 * Under `ggml-viz run` and `attach` the settings come from the hidden file .TOKEN.settings in the segments' folder, so
 * that the program's environment carries no more than the agent's path and the token. Where the agent works alone, they
 * come from the environment. In the file, one `key=value` a line; in the environment, GGML_VIZ_KEY:
 *
 *   detail=graph|op|thread
 *   max_events=N       at most N records
 *   ops=A,B            only nodes of these ops, as ggml describes them (MUL_MAT)
 *   backends=A,B       only splits on, and nodes of, these backends (CPU)
 *   nodes=P,Q          only nodes whose name matches one of these patterns (* and ?)
 *   tokens=N-M         only runs that work on generated token N to M, counted from 1; either may be missing
 *   start_paused=1     record nothing until a viewer resumes
 *   per_node_sync=1    time each node by itself through the scheduler's callback; distorts
 *   children=0         do not follow into the programs that this one starts
 */
#ifndef GV_SETTINGS_H
#define GV_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GV_SETTINGS_LIST_BYTES 1024u

/* The lists are under gv_define_lock; what is atomic is read by runs that begin meanwhile. */
struct gv_settings {
    uint32_t detail; /* enum gv_detail */
    uint64_t max_events;
    char ops[GV_SETTINGS_LIST_BYTES]; /* comma-separated; empty: all */
    char backends[GV_SETTINGS_LIST_BYTES];
    char nodes[GV_SETTINGS_LIST_BYTES];
    _Atomic uint64_t first_token, last_token; /* 1 and UINT64_MAX: all */
    bool start_paused, children;
    _Atomic bool per_node_sync;
    _Atomic uint32_t generation; /* rises each time they are read: what was derived from them is derived anew */
};
extern struct gv_settings gv_settings;

/* Reads the settings: of the recording `token` from the file in `folder`, or, where `token` is NULL, from the
 * environment. What is missing or makes no sense is as by default; it was checked where the user gave it. False: there
 * is no such file, and all is as by default. */
bool gv_settings_read(const char *folder, const char *token);

#endif
