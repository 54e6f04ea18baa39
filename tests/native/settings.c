/* Reads settings as the agent does and prints them: settings FOLDER TOKEN, or settings for those of the environment. */
#include <stdio.h>

#include "agent/settings.h"

int main(int argc, char **argv) {
    bool found = argc == 3 ? gv_settings_read(argv[1], argv[2]) : gv_settings_read(NULL, NULL);
    printf("found=%d\ndetail=%u\nmax_events=%llu\nops=%s\nbackends=%s\nnodes=%s\n", found, gv_settings.detail,
           (unsigned long long)gv_settings.max_events, gv_settings.ops, gv_settings.backends, gv_settings.nodes);
    printf("tokens=%llu-%llu\nstart_paused=%d\nper_node_sync=%d\nchildren=%d\n",
           (unsigned long long)gv_settings.first_token, (unsigned long long)gv_settings.last_token,
           gv_settings.start_paused, gv_settings.per_node_sync, gv_settings.children);
}
