/* prctl, limits, clocks and timers: what is refused, and what is remembered. */
#include "p_native.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

static volatile int rang;

static void ring(int number) {
    (void)number;
    rang++;
}

static void settings(void) {
    char name[20] = "";
    int value = -1;
    TRY(prctl(PR_SET_NAME, "a name that is too long", 0, 0, 0));
    TRY(prctl(PR_GET_NAME, name, 0, 0, 0));
    say("%s\n", name);
    TRY(prctl(PR_SET_PDEATHSIG, 65, 0, 0, 0));
    TRY(prctl(PR_SET_PDEATHSIG, 10, 0, 0, 0));
    TRY(prctl(PR_GET_PDEATHSIG, &value, 0, 0, 0));
    say("%d\n", value);
    TRY(prctl(PR_SET_DUMPABLE, 5, 0, 0, 0));
    TRY(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    TRY(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(9999, 0, 0, 0, 0));
    TRY(syscall(SYS_personality, 0xffffffff));
}

static void limits(void) {
    struct rlimit limit = {5, 4};
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    TRY(getrlimit(99, &limit));
    limit.rlim_cur = 4, limit.rlim_max = 9;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    TRY(dup(0));
    TRY(dup(0));
    TRY(dup2(0, 4));
    TRY(syscall(SYS_prlimit64, 99999, RLIMIT_NOFILE, NULL, &limit));
    TRY(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit));
    say("%ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
    TRY(syscall(SYS_getrusage, 7, &limit));
}

static void sizes(void) {
    const char *path = "/tmp/p_settings.size";
    struct rlimit limit = {100, RLIM_INFINITY};
    static char text[60];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    on(SIGXFSZ, ring, 0);
    rang = 0;
    TRY(setrlimit(RLIMIT_FSIZE, &limit));
    TRY(write(fd, text, 60));
    TRY(write(fd, text, 60));
    TRY(write(fd, text, 60));
    TRY(pwrite(fd, text, 60, 99));
    TRY(pwrite(fd, text, 60, 5000));
    TRY(ftruncate(fd, 101));
    TRY(truncate(path, 101));
    TRY(ftruncate(fd, 20));
    TRY(ftruncate(fd, 100));
    int null = open("/dev/null", O_WRONLY), end = open(path, O_WRONLY | O_APPEND);
    TRY(write(null, text, 60));
    TRY(write(end, text, 1));
    close(fd), close(null), close(end);
    TRY(unlink(path));
    say("%d\n", rang);
}

static void clocks(void) {
    struct timespec time;
    TRY(syscall(SYS_clock_gettime, 10, &time));
    TRY(syscall(SYS_clock_gettime, 99, &time));
    TRY(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &time));
    say("%ld %ld\n", time.tv_sec, time.tv_nsec);
    TRY(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
    TRY(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &time, NULL));
    time.tv_nsec = -1;
    TRY(syscall(SYS_nanosleep, &time, NULL));
    TRY(syscall(SYS_nanosleep, 8L, NULL));
}

static void timers(void) {
    struct itimerval timer = {{0, 20000}, {0, 20000}}, old;
    on(SIGALRM, ring, 0);
    TRY(alarm(100));
    TRY(alarm(0));
    TRY(alarm(0));
    TRY(syscall(SYS_setitimer, 9, &timer, NULL));
    TRY(setitimer(ITIMER_REAL, &timer, NULL));
    while (rang < 3) pause();
    memset(&timer, 0, sizeof timer);
    TRY(setitimer(ITIMER_REAL, &timer, &old));
    say("%ld %ld\n", (long)old.it_interval.tv_sec, (long)old.it_interval.tv_usec);
    on(SIGVTALRM, ring, 0);
    timer.it_value.tv_usec = 10000;
    rang = 0;
    TRY(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    while (!rang) continue;
    TRY(syscall(SYS_timer_delete, 7));
    TRY(syscall(SYS_timer_gettime, 7, &timer));
    TRY(syscall(SYS_timer_create, 99, NULL, &timer));
}

int main(void) {
    settings();
    sizes();
    limits();
    clocks();
    timers();
}
