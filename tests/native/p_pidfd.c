/* Descriptors for processes: opening, waiting, polling, signals, and descriptors of others.  Flags
 * of pidfd_send_signal, and POLLHUP, are those of Linux 6.9. */
#include "p_native.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static volatile int told, code, ours;
static int line[2];

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    told++, code = info->si_code, ours = info->si_pid == getpid();
}

static int pidfd_open(pid_t pid, unsigned flags) { return syscall(SYS_pidfd_open, pid, flags); }
static int pidfd_getfd(int pidfd, int fd, unsigned flags) {
    return syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}
static int pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags) {
    return syscall(SYS_pidfd_send_signal, pidfd, number, info, flags);
}

static void events(const char *what, int fd, int timeout) {
    struct pollfd file = {fd, POLLIN | POLLOUT | POLLRDNORM | POLLPRI, 0};
    int found = poll(&file, 1, timeout);
    say("%s: %d %x\n", what, found, file.revents);
}

/* A child that stays until a byte comes, and then ends with status 5. */
static pid_t child_that_waits(void) {
    pid_t child;
    pipe(line);
    if ((child = fork()) == 0) {
        char byte;
        close(line[1]);
        read(line[0], &byte, 1);
        _exit(5);
    }
    close(line[0]);
    return child;
}

static void opens(void) {
    char link[64] = {0}, byte;
    int self = pidfd_open(getpid(), 0);
    TRY(self >= 0);
    TRY(fcntl(self, F_GETFL) & ~O_LARGEFILE);
    TRY(fcntl(self, F_GETFD));
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", self);
    TRY(readlink(path, link, sizeof link - 1));
    say("%s\n", link);
    TRY(read(self, &byte, 1));
    TRY(write(self, &byte, 1));
    TRY(lseek(self, 0, SEEK_SET) == -1);
    events("self", self, 0);
    TRY(pidfd_open(-1, 0));
    TRY(pidfd_open(0, 0));
    TRY(pidfd_open(1 << 30, 0));
    TRY(pidfd_open(getpid(), 1));
    TRY(pidfd_open(0, 1));
    int other = pidfd_open(getpid(), O_NONBLOCK);
    TRY(fcntl(other, F_GETFL) & ~O_LARGEFILE);
    close(other), close(self);
    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit, low.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &low);
    TRY(pidfd_open(getpid(), 0));
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void waits(void) {
    siginfo_t info;
    pid_t child = child_that_waits();
    int fd = pidfd_open(child, 0), quick = pidfd_open(child, O_NONBLOCK);
    struct epoll_event event = {EPOLLIN, {0}}, edge = {EPOLLIN | EPOLLET, {0}}, got = {0};
    int epoll = epoll_create1(0), edges = epoll_create1(0);
    TRY(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    TRY(epoll_ctl(edges, EPOLL_CTL_ADD, fd, &edge));
    TRY(epoll_wait(epoll, &got, 1, 0));
    events("alive", fd, 0);
    events("alive, for a while", fd, 20);
    TRY(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
    memset(&info, 0xaa, sizeof info);
    TRY(waitid(P_PIDFD, quick, &info, WEXITED));
    say("%d\n", info.si_signo);
    TRY(waitid(P_PIDFD, quick, &info, WEXITED | WNOHANG));
    TRY(waitid(P_PIDFD, quick, &info, WSTOPPED));
    TRY(waitid(P_PIDFD, 1, &info, WEXITED));
    TRY(waitid(P_PIDFD, 99, &info, WEXITED));
    TRY(waitid(P_PIDFD, (id_t)-1, &info, WEXITED));
    TRY(waitid(P_PIDFD, fd, &info, 0));
    write(line[1], "x", 1);
    events("ends", fd, -1);
    TRY(epoll_wait(epoll, &got, 1, 0));
    say("%x\n", got.events);
    TRY(epoll_wait(edges, &got, 1, 0));
    TRY(epoll_wait(edges, &got, 1, 0));
    TRY(pidfd_send_signal(fd, 0, NULL, 0));
    TRY(pidfd_send_signal(fd, SIGTERM, NULL, 0));
    TRY(pidfd_getfd(fd, 1, 0));
    TRY(waitid(P_PIDFD, quick, &info, WEXITED | WNOWAIT));
    events("a zombie", fd, 0);
    TRY(waitid(P_PIDFD, fd, &info, WEXITED));
    say("%d %d %d %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
    events("gone", fd, 0);
    struct pollfd none = {fd, 0, 0};
    TRY(poll(&none, 1, 0));
    say("%x\n", none.revents);
    TRY(epoll_wait(edges, &got, 1, 0));
    say("%x\n", got.events);
    TRY(waitid(P_PIDFD, fd, &info, WEXITED));
    TRY(waitid(P_PIDFD, quick, &info, WEXITED));
    TRY(pidfd_send_signal(fd, 0, NULL, 0));
    TRY(pidfd_send_signal(fd, 99, NULL, 0));
    TRY(pidfd_getfd(fd, 1, 0));
    close(fd), close(quick), close(epoll), close(edges), close(line[1]);

    child = child_that_waits();
    fd = pidfd_open(child, 0);
    int self = pidfd_open(getpid(), 0);
    TRY(waitid(P_PIDFD, self, &info, WEXITED));
    pid_t other = fork();
    if (other == 0) {
        close(line[1]);
        TRY(waitid(P_PIDFD, fd, &info, WEXITED)); /* no child of this one */
        events("not a child", fd, -1);
        _exit(0);
    }
    sleep_ms(20);
    write(line[1], "x", 1);
    waitpid(other, NULL, 0);
    TRY(waitid(P_PIDFD, fd, &info, WEXITED));
    close(fd), close(self), close(line[1]);

    child = child_that_waits();
    fd = pidfd_open(child, 0);
    TRY(pidfd_send_signal(fd, SIGSTOP, NULL, 0));
    TRY(waitid(P_PIDFD, fd, &info, WSTOPPED));
    say("%d %d\n", info.si_code, info.si_status);
    TRY(pidfd_send_signal(fd, SIGCONT, NULL, 0));
    TRY(waitid(P_PIDFD, fd, &info, WCONTINUED));
    TRY(pidfd_send_signal(fd, SIGKILL, NULL, 0));
    TRY(waitid(P_PIDFD, fd, &info, WEXITED));
    say("%d %d\n", info.si_code, info.si_status);
    close(fd), close(line[1]);

    signal(SIGCHLD, SIG_IGN);
    child = child_that_waits();
    fd = pidfd_open(child, 0);
    write(line[1], "x", 1);
    events("nobody waits", fd, -1);
    sleep_ms(20);
    events("nobody waits", fd, 0);
    TRY(waitid(P_PIDFD, fd, &info, WEXITED));
    signal(SIGCHLD, SIG_DFL);
    close(fd), close(line[1]);
}

static void signals(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    siginfo_t info = {0};
    int self = pidfd_open(getpid(), 0);
    for (unsigned flags = 0; flags < 9; flags++) {
        told = code = ours = 0;
        if (flags == 4) continue;
        TRY(pidfd_send_signal(self, SIGUSR1, NULL, flags));
        say("flags %u: told %d, code %d, ours %d\n", flags, told, code, ours);
    }
    TRY(pidfd_send_signal(self, 0, NULL, 0));
    TRY(pidfd_send_signal(self, 65, NULL, 0));
    TRY(pidfd_send_signal(self, -1, NULL, 0));
    TRY(pidfd_send_signal(99, 0, NULL, 0));
    TRY(pidfd_send_signal(1, 0, NULL, 0));
    TRY(pidfd_send_signal(self, SIGUSR1, (void *)8, 0));
    info.si_signo = SIGUSR2, info.si_code = SI_QUEUE;
    TRY(pidfd_send_signal(self, SIGUSR1, &info, 0));
    info.si_signo = SIGUSR1;
    told = code = 0;
    TRY(pidfd_send_signal(self, SIGUSR1, &info, 0));
    say("told %d, code %d\n", told, code);
    info.si_code = SI_USER;
    TRY(pidfd_send_signal(self, SIGUSR1, &info, 0));
    pid_t child = child_that_waits();
    int fd = pidfd_open(child, 0);
    TRY(pidfd_send_signal(fd, SIGUSR1, &info, 0));
    info.si_code = SI_TKILL;
    TRY(pidfd_send_signal(fd, SIGUSR1, &info, 0));
    TRY(pidfd_send_signal(fd, SIGUSR1, NULL, 4));
    setpgid(child, child);
    TRY(pidfd_send_signal(fd, SIGTERM, NULL, 4));
    int status = 0;
    TRY(waitpid(child, &status, 0) == child);
    say("%x\n", status);
    close(fd), close(self), close(line[1]);
    int first = pidfd_open(1, 0);
    if (getuid() != 0) TRY(pidfd_send_signal(first, SIGTERM, NULL, 0));
    if (getuid() != 0) TRY(pidfd_getfd(first, 0, 0));
    close(first);
}

static void descriptors(void) {
    int s[2];
    char got[8] = {0};
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    pid_t child = fork();
    if (child == 0) {
        int pair[2];
        pipe(pair), dup2(pair[0], 50), dup2(pair[1], 51);
        write(pair[1], "secret", 6);
        write(s[1], "x", 1);
        read(s[1], got, 1);
        prctl(PR_SET_DUMPABLE, 0);
        write(s[1], "x", 1);
        read(s[1], got, 1);
        _exit(0);
    }
    int fd = pidfd_open(child, 0);
    read(s[0], got, 1);
    int copy = pidfd_getfd(fd, 50, 0);
    TRY(read(copy, got, 6));
    say("%s %d\n", got, fcntl(copy, F_GETFD));
    close(copy);
    TRY(pidfd_getfd(fd, 77, 0));
    TRY(pidfd_getfd(fd, -1, 0));
    TRY(pidfd_getfd(fd, 50, 1));
    TRY(pidfd_getfd(1, 50, 0));
    TRY(pidfd_getfd(99, 50, 0));
    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit, low.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &low);
    TRY(pidfd_getfd(fd, 50, 0));
    setrlimit(RLIMIT_NOFILE, &limit);
    write(s[0], "x", 1);
    read(s[0], got, 1);
    if (getuid() != 0) TRY(pidfd_getfd(fd, 50, 0));
    write(s[0], "x", 1);
    TRY(waitpid(child, NULL, 0) == child);
    close(fd);
    int self = pidfd_open(getpid(), 0);
    prctl(PR_SET_DUMPABLE, 0);
    copy = pidfd_getfd(self, s[0], 0);
    TRY(write(s[1], "abc", 3));
    TRY(read(copy, got, 3));
    close(copy), close(self), close(s[0]), close(s[1]);
}

int main(void) {
    for (int i = 3; i < 40; i++) close(i);
    opens();
    waits();
    signals();
    descriptors();
    return 0;
}
