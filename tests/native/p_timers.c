/* Timers of timer_create and setitimer: clocks, overruns, and intervals of a nanosecond. */
#include "p_native.h"
#include <sys/time.h>

static volatile siginfo_t got;
static volatile int rounds;

static void note(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    got = *info;
    rounds++;
}

static void listen(int number) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(number, &action, NULL);
}

static void block(int how, int number) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number), sigprocmask(how, &set, NULL);
}

static int create(int clock, int notify, int number) {
    int id = -1;
    struct sigevent event = {.sigev_notify = notify, .sigev_signo = number};
    return syscall(SYS_timer_create, clock, &event, &id) ? -errno : id;
}

static void set(int id, long first, long interval) {
    struct itimerspec times = {{0, interval}, {0, first}};
    syscall(SYS_timer_settime, id, 0, &times, NULL);
}

static void clocks(void) {
    for (int clock = 0; clock < 12; clock++) {
        int id = create(clock, SIGEV_SIGNAL, SIGUSR1);
        if (clock != 8 && clock != 9) say("clock %d: %d\n", clock, id < 0 ? id : 0);
        if (id >= 0) syscall(SYS_timer_delete, id);
    }
    int id = create(0, SIGEV_SIGNAL, SIGUSR1);
    TRY(syscall(SYS_timer_settime, id, 0, NULL, NULL));
    TRY(syscall(SYS_timer_settime, id, 0, (void *)8, NULL));
    TRY(syscall(SYS_timer_delete, id));
}

static void overruns(void) {
    int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1);
    listen(SIGUSR1);
    block(SIG_BLOCK, SIGUSR1);
    set(id, 1000000, 1000000);
    sleep_ms(30);
    rounds = 0;
    block(SIG_UNBLOCK, SIGUSR1);
    say("a signal: %d, overruns %d %d\n", rounds > 0, got.si_overrun >= 10,
        syscall(SYS_timer_getoverrun, id) >= 0);
    set(id, 0, 0);
    block(SIG_BLOCK, SIGUSR1);
    set(id, 1, 1);
    sleep_ms(10);
    sigset_t wanted;
    siginfo_t info;
    struct timespec none = {0, 0};
    sigemptyset(&wanted), sigaddset(&wanted, SIGUSR1);
    int number;
    do number = syscall(SYS_rt_sigtimedwait, &wanted, &info, &none, 8);
    while (number == SIGUSR1 && info.si_overrun < 100000);
    long counted = syscall(SYS_timer_getoverrun, id);
    say("by the nanosecond: %d, many %d, same %d\n", number, counted > 100000,
        counted == info.si_overrun);
    syscall(SYS_timer_delete, id);
    block(SIG_UNBLOCK, SIGUSR1);
}

static void nobody_listens(void) {
    struct itimerval fast = {{0, 1}, {0, 1}}, off = {{0, 0}, {0, 0}};
    signal(SIGALRM, SIG_IGN);
    TRY(setitimer(ITIMER_REAL, &fast, NULL));
    sleep_ms(10);
    TRY(setitimer(ITIMER_REAL, &off, NULL));
    int id = create(CLOCK_MONOTONIC, SIGEV_NONE, 0);
    set(id, 1, 1);
    sleep_ms(10);
    struct itimerspec left;
    TRY(syscall(SYS_timer_gettime, id, &left));
    say("left %d\n", left.it_value.tv_nsec <= 1);
    id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2);
    signal(SIGUSR2, SIG_IGN);
    set(id, 1, 1);
    sleep_ms(10);
    set(id, 0, 0);
    block(SIG_BLOCK, SIGUSR2);
    listen(SIGUSR2);
    set(id, 1, 1);
    sleep_ms(5);
    signal(SIGUSR2, SIG_IGN);
    sleep_ms(5);
    say("over\n");
}

static void processor_time(void) {
    int id = create(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1);
    listen(SIGUSR1);
    rounds = 0;
    set(id, 1000000, 0);
    while (!rounds) continue;
    say("by the thread's own time: %d\n", rounds);
    TRY(syscall(SYS_timer_delete, id));
}

int main(void) {
    clocks();
    overruns();
    nobody_listens();
    processor_time();
    return 0;
}
