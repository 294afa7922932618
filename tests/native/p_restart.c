/* Calls that wait, and what a signal, or a stop and a continue, does to each (signal(7)). */
#include "p_native.h"
#include <linux/futex.h>
#include <sys/time.h>

static volatile int handled;
static uint32_t word;

static void handler(int number) {
    (void)number;
    handled++;
}

static long wait_for_child(void) {
    int status;
    return syscall(SYS_wait4, -1, &status, 0, NULL) > 0;
}

static long wait_with_info(void) {
    siginfo_t info;
    return syscall(SYS_waitid, P_ALL, 0, &info, WEXITED, NULL);
}

static long left_over;

static long relative_sleep(void) {
    struct timespec time = {0, 300000000}, left = {9, 9};
    long result = syscall(SYS_nanosleep, &time, &left);
    left_over = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return result;
}

static long clock_sleep(void) {
    struct timespec time = {0, 300000000}, left = {9, 9};
    long result = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &left);
    left_over = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return result;
}

static long absolute_sleep(void) {
    struct timespec time, left = {9, 9};
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += 300000000;
    if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
    long result = syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &time, &left);
    left_over = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return result;
}

static long futex_wait(void) {
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long futex_timed_wait(void) {
    struct timespec time = {0, 300000000};
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, NULL, 0);
}

static long futex_bitset_wait(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += 300000000;
    if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
    return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &time, NULL, ~0u);
}

static long signal_wait(void) {
    unsigned long set = 1ul << (SIGUSR2 - 1);
    struct timespec time = {0, 300000000};
    return syscall(SYS_rt_sigtimedwait, &set, NULL, &time, 8);
}

static long suspend(void) {
    unsigned long none = 0;
    return syscall(SYS_rt_sigsuspend, &none, 8);
}

static long do_pause(void) { return syscall(SYS_pause); }

static const struct {
    const char *name;
    long (*call)(void);
} CALLS[] = {
    {"wait4", wait_for_child},       {"waitid", wait_with_info},
    {"nanosleep", relative_sleep},   {"clock_nanosleep", clock_sleep},
    {"absolute", absolute_sleep},    {"futex", futex_wait},
    {"futex timed", futex_timed_wait}, {"futex bitset", futex_bitset_wait},
    {"sigtimedwait", signal_wait},   {"sigsuspend", suspend},
    {"pause", do_pause},
};

/* The one who waits is a child, so that it can be stopped; its own child ends after 150 ms. */
static void one(int index, int flags, int stop) {
    pid_t waiter = fork();
    if (waiter == 0) {
        on(SIGUSR1, handler, flags);
        pid_t short_lived = fork();
        if (short_lived == 0) {
            sleep_ms(150);
            word = 1;
            _exit(0);
        }
        errno = 0;
        left_over = -1;
        long result = CALLS[index].call();
        int error = result == -1 ? errno : 0;
        const char *left = left_over < 0       ? ""
                           : left_over == 9000 ? " untouched"
                           : left_over > 100   ? " much left"
                                               : " little left";
        say("%s flags %x stop %d: %ld error %d handled %d%s\n", CALLS[index].name, flags, stop,
            result, error, handled, left);
        _exit(0);
    }
    sleep_ms(50);
    if (stop) {
        kill(waiter, SIGSTOP);
        sleep_ms(20);
        kill(waiter, SIGCONT);
        sleep_ms(60);
    } else {
        kill(waiter, SIGUSR1);
        sleep_ms(60);
    }
    sleep_ms(400);
    kill(waiter, SIGKILL);
    int status;
    waitpid(waiter, &status, 0);
    if (WIFSIGNALED(status))
        say("%s flags %x stop %d: still waiting\n", CALLS[index].name, flags, stop);
    while (waitpid(-1, NULL, 0) > 0) continue;
}

int main(void) {
    for (unsigned i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        one(i, 0, 0);
        one(i, SA_RESTART, 0);
        one(i, 0, 1);
    }
    return 0;
}
