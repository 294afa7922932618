/* Clocks and sleeping. */

#include <sys/time.h>
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

/* The result is the number of seconds left if a signal ended the sleep. */
unsigned sleep(unsigned seconds) {
    struct timespec left = {0, 0};
    nanosleep(&(struct timespec){seconds, 0}, &left);
    return (unsigned)left.tv_sec;
}

int usleep(unsigned microseconds) {
    return nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000l},
                     NULL);
}

int gettimeofday(struct timeval *now, void *zone) { return (int)CALL(gettimeofday, now, zone); }
int setitimer(int which, const struct itimerval *new, struct itimerval *old) {
    return (int)CALL(setitimer, which, new, old);
}
int getitimer(int which, struct itimerval *now) { return (int)CALL(getitimer, which, now); }
unsigned alarm(unsigned seconds) { return (unsigned)CALL(alarm, seconds); }
int pause(void) { return (int)CALL(pause); }
