/* What the systems share whose dynamic linker is told by a variable what to load first. */
#ifndef GV_ENVIRONMENT_H
#define GV_ENVIRONMENT_H

/* gv_leave_environment, where `variable` holds a list of libraries. */
void gv_leave_variable(const char *variable, const char *separators);

#endif
