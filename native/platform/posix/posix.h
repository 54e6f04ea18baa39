/* What the systems of this kind share, and each still has to say something to. */
#ifndef GV_POSIX_H
#define GV_POSIX_H

#include <stddef.h>

/* gv_folder, where the folder lies in `base`. */
int gv_folder_in(const char *base, char *out, size_t capacity);

#endif
