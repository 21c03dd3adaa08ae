/* Preloaded by tests/determinism.rs: every directory listing comes in a shuffled order (seed in SHUFFLE_SEED). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct listing { DIR *dir; struct dirent64 **entries; size_t count, next; struct listing *more; };
static __thread struct listing *listings;

static struct listing *slurp(DIR *dir) {
    struct dirent64 *(*real)(DIR *) = (struct dirent64 *(*)(DIR *))dlsym(RTLD_NEXT, "readdir64");
    const char *seed = getenv("SHUFFLE_SEED");
    unsigned long state = seed ? strtoul(seed, NULL, 10) : 1;
    struct listing *list = calloc(1, sizeof *list);
    struct dirent64 *entry;
    list->dir = dir;
    while ((entry = real(dir))) {
        list->entries = realloc(list->entries, (list->count + 1) * sizeof *list->entries);
        struct dirent64 *copy = malloc(sizeof *copy);
        memcpy(copy, entry, entry->d_reclen < sizeof *copy ? entry->d_reclen : sizeof *copy);
        list->entries[list->count++] = copy;
    }
    for (size_t i = list->count; i > 1; i--) {
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        size_t j = (state >> 33) % i;
        struct dirent64 *swap = list->entries[i - 1];
        list->entries[i - 1] = list->entries[j];
        list->entries[j] = swap;
    }
    list->more = listings;
    return listings = list;
}

struct dirent64 *readdir64(DIR *dir) {
    struct listing *list = listings;
    while (list && list->dir != dir) list = list->more;
    if (!list) list = slurp(dir);
    return list->next < list->count ? list->entries[list->next++] : NULL;
}

int closedir(DIR *dir) {
    int (*real)(DIR *) = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    for (struct listing *list = listings; list; list = list->more)
        if (list->dir == dir) list->dir = NULL;
    return real(dir);
}
