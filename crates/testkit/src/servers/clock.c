/* A wall clock that is stepped while the program runs: preloaded into a server.
 *
 * Only the wall clock: what counts on CLOCK_MONOTONIC or CLOCK_BOOTTIME sees no step, as where a
 * machine's clock is set. It asks the kernel itself and neither allocates nor locks, because
 * allocators ask for the time while they start. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The file, which the tests write: the offset that holds is seconds[which]. A byte changes in one
 * step, and eight need not. */
static const volatile struct {
    int64_t seconds[2];
    unsigned char which;
} *offset;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("STEADFAST_CLOCK");
    int file = open(path ? path : "", O_RDONLY | O_CLOEXEC);
    offset = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (offset == MAP_FAILED) abort();
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (!failed && is_wall && offset) now->tv_sec += offset->seconds[offset->which & 1];
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec read;
    if (clock_gettime(CLOCK_REALTIME, &read)) return -1;
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec read;
    if (clock_gettime(CLOCK_REALTIME, &read)) return -1;
    if (now) *now = read.tv_sec;
    return read.tv_sec;
}
