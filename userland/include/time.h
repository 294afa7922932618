/* Clocks. On Vantage they show modelled time, never the host's. */
#ifndef TIME_H
#define TIME_H

#include <sys/types.h>

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define TIME_UTC 1

int clock_gettime(clockid_t clock, struct timespec *now);
int nanosleep(const struct timespec *duration, struct timespec *left);
int timespec_get(struct timespec *now, int base);
time_t time(time_t *now);

#endif
