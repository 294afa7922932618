/* Limits and usage of resources. */
#ifndef SYS_RESOURCE_H
#define SYS_RESOURCE_H

#include <sys/time.h>
#include <sys/types.h>

enum { RLIMIT_FSIZE = 1, RLIMIT_STACK = 3, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_AS = 9 };
#define RLIM_INFINITY (~0ul)

struct rlimit {
    unsigned long rlim_cur, rlim_max;
};

struct rusage {
    struct timeval ru_utime, ru_stime;
    long ru_maxrss, ru_ixrss, ru_idrss, ru_isrss, ru_minflt, ru_majflt, ru_nswap, ru_inblock,
        ru_oublock, ru_msgsnd, ru_msgrcv, ru_nsignals, ru_nvcsw, ru_nivcsw;
};

enum { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

int getrlimit(int what, struct rlimit *limit);
int setrlimit(int what, const struct rlimit *limit);
int getrusage(int who, struct rusage *usage);

#endif
