/* Clocks and sleeping. */

#include <time.h>
#include <unistd.h>

#include "syscall.h"

int clock_gettime(clockid_t clock, struct timespec *now) {
    return (int)CALL(clock_gettime, clock, now);
}
int nanosleep(const struct timespec *duration, struct timespec *left) {
    return (int)CALL(nanosleep, duration, left);
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

time_t time(time_t *now) {
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    if (now) *now = clock.tv_sec;
    return clock.tv_sec;
}

/* The result is the number of seconds not slept, because a signal came. */
unsigned sleep(unsigned seconds) {
    struct timespec left = {0, 0};
    nanosleep(&(struct timespec){seconds, 0}, &left);
    return (unsigned)left.tv_sec;
}

int usleep(unsigned microseconds) {
    return nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000l},
                     NULL);
}
