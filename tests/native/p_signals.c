/* Queues, masks, sigqueue, sigtimedwait, and the order in which signals are taken. */
#include "p_native.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <ucontext.h>

static char order[256];
static int length;

static void note(int number, siginfo_t *info, void *context) {
    (void)context;
    length += snprintf(order + length, sizeof order - length, " %d/%d/%d", number, info->si_code,
                       info->si_code == SI_QUEUE ? info->si_value.sival_int : -1);
}

static void listen(int number, int flags) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    sigfillset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void flush(const char *what) {
    say("%s:%s\n", what, order);
    order[0] = length = 0;
}

static unsigned long bit(int number) { return 1ul << (number - 1); }

static long mask(int how, unsigned long set) {
    return syscall(SYS_rt_sigprocmask, how, &set, NULL, 8);
}

static unsigned long pending(void) {
    unsigned long set = 0;
    syscall(SYS_rt_sigpending, &set, 8);
    return set;
}

static void queues(void) {
    union sigval value;
    for (int number = 36; number <= 38; number++) listen(number, 0);
    listen(SIGUSR1, 0), listen(SIGUSR2, 0), listen(SIGSEGV, 0);
    mask(SIG_BLOCK, ~0ul);
    for (int i = 0; i < 3; i++) value.sival_int = i, sigqueue(getpid(), 37, value);
    value.sival_int = 7;
    sigqueue(getpid(), 36, value);
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1);
    kill(getpid(), SIGSEGV);
    syscall(SYS_tkill, getpid(), 38);
    say("pending %lx\n", pending());
    mask(SIG_UNBLOCK, ~0ul);
    flush("taken");
}

static void ignoring(void) {
    mask(SIG_BLOCK, bit(SIGUSR1) | bit(SIGCHLD) | bit(SIGCONT));
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    say("pending %lx\n", pending());
    kill(getpid(), SIGUSR1);
    say("pending %lx\n", pending());
    signal(SIGUSR1, SIG_DFL);
    say("pending %lx\n", pending());
    kill(getpid(), SIGCHLD);
    say("pending %lx\n", pending());
    signal(SIGCHLD, SIG_DFL);
    say("pending %lx\n", pending());
    mask(SIG_BLOCK, bit(SIGTSTP));
    kill(getpid(), SIGTSTP);
    say("pending %lx\n", pending());
    kill(getpid(), SIGCONT);
    say("pending %lx\n", pending());
    kill(getpid(), SIGTSTP);
    say("pending %lx\n", pending());
    kill(getpid(), SIGCONT);
    signal(SIGUSR1, SIG_IGN);
    mask(SIG_UNBLOCK, ~0ul);
    say("pending %lx\n", pending());
}

static long timed(unsigned long set, siginfo_t *info, long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    return syscall(SYS_rt_sigtimedwait, &set, info, nanoseconds < 0 ? NULL : &time, 8);
}

static void waiting(void) {
    siginfo_t info;
    union sigval value = {.sival_int = 42};
    mask(SIG_BLOCK, bit(SIGUSR1) | bit(40) | bit(SIGCHLD));
    TRY(timed(bit(SIGUSR1), &info, 0));
    TRY(timed(bit(SIGUSR1), &info, 1000000));
    TRY(timed(bit(SIGUSR1), &info, 1000000000));
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), 40, value);
    TRY(timed(bit(SIGUSR1) | bit(40), &info, 0));
    say("%d %d %d\n", info.si_signo, info.si_code, info.si_pid == getpid());
    TRY(timed(bit(SIGUSR1) | bit(40), &info, -1));
    say("%d %d %d\n", info.si_signo, info.si_code, info.si_value.sival_int);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        _exit(9);
    }
    TRY(timed(bit(SIGCHLD), &info, -1));
    say("%d %d %d\n", info.si_code, info.si_status, info.si_pid == child);
    wait(NULL);
    TRY(timed(bit(SIGCHLD), NULL, 0));
    TRY(syscall(SYS_rt_sigtimedwait, 8L, NULL, NULL, 8));
    TRY(syscall(SYS_rt_sigtimedwait, &info, NULL, NULL, 4));
    mask(SIG_UNBLOCK, ~0ul);
}

static void sending(void) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    for (int code = -7; code <= 1; code++) {
        info.si_code = code;
        long result = syscall(SYS_rt_sigqueueinfo, child, 0, &info) ? errno : 0;
        say("sigqueueinfo code %d: %ld\n", code, result);
    }
    info.si_code = 5;
    signal(SIGUSR2, SIG_IGN);
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, &info));
    TRY(syscall(SYS_rt_sigqueueinfo, 99999, SIGUSR2, &info));
    info.si_code = -1;
    TRY(syscall(SYS_rt_sigqueueinfo, 99999, SIGUSR2, &info));
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), 10, 8L));
    TRY(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &info));
    TRY(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, SIGUSR2, &info));
    kill(child, SIGKILL);
    wait(NULL);
}

static void errors(void) {
    unsigned long set = 0;
    TRY(syscall(SYS_rt_sigpending, &set, 9));
    TRY(syscall(SYS_rt_sigpending, 8L, 8));
    TRY(syscall(SYS_rt_sigpending, &set, 4));
    TRY(syscall(SYS_rt_sigsuspend, &set, 4));
    TRY(syscall(SYS_rt_sigsuspend, 8L, 8));
    TRY(syscall(SYS_rt_sigprocmask, 7, NULL, &set, 8));
    TRY(syscall(SYS_rt_sigprocmask, 7, &set, NULL, 8));
}

static void *spin_unblocked(void *done) {
    while (!*(volatile int *)done) sleep_ms(5);
    return NULL;
}

/* A signal for the process goes to a thread that does not block it. */
static void threads(void) {
    int done = 0;
    pthread_t thread;
    listen(SIGUSR1, 0);
    pthread_create(&thread, NULL, spin_unblocked, &done);
    mask(SIG_BLOCK, bit(SIGUSR1));
    kill(getpid(), SIGUSR1);
    sleep_ms(50);
    flush("another thread");
    say("pending %lx\n", pending());
    done = 1;
    pthread_join(thread, NULL);
    mask(SIG_UNBLOCK, ~0ul);
}

static unsigned long masked(void) {
    unsigned long set = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, 8);
    return set;
}

static unsigned long inside;

static void look(int number) {
    (void)number;
    getppid();  /* the end of a call in the handler changes nothing */
    inside = masked();
}

static struct pollfd one;

static long suspends(unsigned long *lent) { return syscall(SYS_rt_sigsuspend, lent, 8); }

static long polls(unsigned long *lent) { return syscall(SYS_ppoll, &one, 1, NULL, lent, 8); }

static long selects(unsigned long *lent) {
    struct {
        unsigned long *set, bytes;
    } both = {lent, 8};
    return syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &both);
}

static long waits_for_events(unsigned long *lent) {
    struct epoll_event event;
    int instance = epoll_create1(0);
    long result = syscall(SYS_epoll_pwait, instance, &event, 1, -1L, lent, 8L);
    int error = errno;
    close(instance), errno = error;
    return result;
}

/* A call that waits has a mask of its own; the handler that ends it, and all after, have not. */
static void borrowed_masks(void) {
    static long (*const calls[])(unsigned long *) = {suspends, polls, selects, waits_for_events};
    unsigned long mine = bit(SIGUSR1) | bit(SIGUSR2), lent = ~bit(SIGUSR1);
    int ends[2];
    if (pipe(ends)) _exit(98);
    on(SIGUSR1, look, 0);
    for (int i = 0; i < 4; i++) {
        mask(SIG_SETMASK, mine |= bit(40 + i));
        one = (struct pollfd){ends[0], POLLIN, 0};
        kill(getpid(), SIGUSR1);
        inside = 0;
        TRY(calls[i](&lent));
        say("inside %lx, after %lx\n", inside, masked());
    }
    struct timespec soon = {0, 1000000};
    TRY(syscall(SYS_ppoll, &one, 1, &soon, &lent, 8));
    TRY(syscall(SYS_epoll_pwait, 99, NULL, 1, 0, &lent, 4L));
    TRY(syscall(SYS_epoll_pwait2, 99, NULL, 1, &soon, &lent, 4L));
    say("in time: %lx\n", masked());
    one = (struct pollfd){ends[1], POLLOUT, 0}, inside = 0;
    kill(getpid(), SIGUSR1);
    TRY(polls(&lent));
    say("ready: inside %lx, after %lx, pending %lx\n", inside, masked(), pending());
    mask(SIG_SETMASK, 0);
    say("at last: %lx\n", inside);
    close(ends[0]), close(ends[1]);
}

static void block_all(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    memset(&((ucontext_t *)context)->uc_sigmask, 0xff, 8);
}

/* KILL and STOP stay open, whatever a handler returns to. */
static void a_return_to_a_full_mask(void) {
    struct sigaction action = {.sa_sigaction = block_all, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    kill(getpid(), SIGUSR1);
    say("returned with %lx\n", masked());
    mask(SIG_SETMASK, 0);
}

int main(void) {
    queues();
    ignoring();
    waiting();
    sending();
    errors();
    threads();
    borrowed_masks();
    a_return_to_a_full_mask();
}
