/* Loads the core library that it is told, with all that it wants of others, and reads the clock by it. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(int count, char **words) {
    uint64_t at[3] = {0};
    int (*now)(uint64_t[3]) = NULL;
    void *library = dlopen(count > 1 ? words[1] : NULL, RTLD_NOW);
    if (library)
        *(void **)&now = dlsym(library, "gv_clock_now");
    if (!now) {
        puts(dlerror());
        return 1;
    }
    return now(at) >= 0 && at[0] && at[1] && at[2] ? 0 : 2;
}
