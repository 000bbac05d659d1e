/* Preloaded, it makes every file system one without flock and hard links. FLOCK_ERRNO and LINK_ERRNO say how they fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

static int refuse(const char *variable) {
    const char *number = getenv(variable);
    if (number) errno = atoi(number);
    return number != NULL;
}

int flock(int descriptor, int operation) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return refuse("FLOCK_ERRNO") ? -1 : real(descriptor, operation);
}

int link(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    return refuse("LINK_ERRNO") ? -1 : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return refuse("LINK_ERRNO") ? -1 : real(from_folder, from, to_folder, to, flags);
}
