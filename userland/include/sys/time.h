/* Microseconds, and the interval timer. */
#ifndef SYS_TIME_H
#define SYS_TIME_H

#include <sys/types.h>

struct timeval {
    time_t tv_sec;
    long tv_usec;
};

struct itimerval {
    struct timeval it_interval, it_value;
};

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };

int gettimeofday(struct timeval *now, void *zone);
int setitimer(int which, const struct itimerval *now, struct itimerval *old);
int getitimer(int which, struct itimerval *now);

#endif
