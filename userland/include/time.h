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

struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};

/* UTC is the only time zone. */
struct tm *gmtime_r(const time_t *moment, struct tm *out);
/* Conversions: Y m d H M S y e j a A b B h D F T R s n t Z z p I c %. The length, or 0 if too long. */
size_t strftime(char *out, size_t size, const char *format, const struct tm *moment);

int clock_gettime(clockid_t clock, struct timespec *now);
int nanosleep(const struct timespec *duration, struct timespec *left);
int timespec_get(struct timespec *now, int base);
time_t time(time_t *now);

#endif
