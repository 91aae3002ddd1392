/* Shared by server and client. */
#ifndef TOKENBENCH_COMMON_H
#define TOKENBENCH_COMMON_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* An array of at least `need` items: the old one, or a copy twice as large as needed. */
static void *grown(void *old, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return old;
    *cap = need * 2;
    void *new = realloc(old, *cap * size);
    if (!new) { perror("realloc"); exit(1); }
    return new;
}
#endif
