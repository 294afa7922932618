/* Pairs of UNIX sockets: bytes and messages, what has ended, what poll finds, and every error. */
#include "p_native.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

static int s[2], pipes;
static char data[1 << 20];
static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

static void on_pipe(int number) { (void)number, pipes++; }

static void pair(int kind) {
    if (socketpair(AF_UNIX, kind, 0, s) != 0) _exit(98);
}

static void part(void) { close(s[0]), close(s[1]); }

/* The events of one end, without waiting. */
static void events(const char *what, int fd) {
    struct pollfd file = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI | 0x140, 0};
    int found = poll(&file, 1, 0);
    say("%s: %d %x\n", what, found, file.revents);
}

static void makes(void) {
    int two[2] = {-1, -1};
    char name[] = "some file";
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink(name);
    write(file, "from a file", 11), lseek(file, 0, SEEK_SET);
    TRY(socketpair(AF_UNIX, SOCK_DGRAM, 0, two));
    TRY(syscall(SYS_sendfile, two[0], file, NULL, 100));
    TRY(read(two[1], data, 100));
    say("%s\n", data);
    close(two[0]), close(two[1]), close(file);
    two[0] = two[1] = -1;
    struct stat status;
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, two));
    TRY(fcntl(two[0], F_GETFL));
    TRY(fcntl(two[0], F_GETFD));
    TRY(fstat(two[0], &status));
    say("%o %d %d\n", status.st_mode, (int)status.st_size, status.st_uid == getuid());
    close(two[0]), close(two[1]);
    TRY(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, AF_UNIX, two));
    TRY(fcntl(two[1], F_GETFL));
    TRY(fcntl(two[1], F_GETFD));
    close(two[0]), close(two[1]);
    two[0] = two[1] = -1;
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 7, two));
    say("%d %d\n", two[0], two[1]);
    TRY(socketpair(AF_UNIX, SOCK_RDM, 0, two));
    TRY(socketpair(AF_UNIX, 0, 0, two));
    TRY(socketpair(AF_UNIX, 11, 0, two));
    TRY(socketpair(AF_UNIX, SOCK_STREAM | 0x10000, 0, two));
    TRY(socketpair(-1, SOCK_STREAM, 0, two));
    TRY(socketpair(46, SOCK_STREAM, 0, two));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
    TRY(socketpair(AF_UNIX, SOCK_RAW, 0, two));
    int kind = 0;
    socklen_t size = sizeof kind;
    TRY(getsockopt(two[0], SOL_SOCKET, SO_TYPE, &kind, &size));
    say("%d\n", kind);
    close(two[0]), close(two[1]);
}

static void moves(int kind) {
    char got[64] = {0};
    struct iovec parts[] = {{data, 3}, {data + 3, 0}, {data + 4, 4}};
    pair(kind);
    strcpy(data, "one two three");
    TRY(write(s[0], data, 3));
    TRY(writev(s[0], parts, 3));
    TRY(writev(s[0], parts, 0));
    TRY(writev(s[0], parts + 1, 1));
    TRY(send(s[0], "last", 4, 0));
    TRY(ioctl(s[1], FIONREAD, got) == 0 && *(int *)got);
    TRY(ioctl(s[0], TIOCOUTQ, got) == 0 && *(int *)got);
    TRY(recv(s[1], got, 5, MSG_PEEK));
    say("%s\n", got);
    memset(got, 0, sizeof got);
    TRY(read(s[1], got, 0));
    TRY(recv(s[1], got, 0, MSG_PEEK));
    TRY(recv(s[1], got, 5, MSG_PEEK | MSG_TRUNC));
    TRY(recv(s[1], got, 5, 0));
    struct iovec room[] = {{got + 20, 2}, {got + 30, 20}};
    TRY(readv(s[1], room, 2));
    TRY(readv(s[1], room, 0));
    say("%s|%s|%s\n", got, got + 20, got + 30);
    TRY(recv(s[1], got, sizeof got, MSG_DONTWAIT));
    TRY(recv(s[1], got, sizeof got, MSG_DONTWAIT));
    TRY(recv(s[1], got, 0, MSG_DONTWAIT));
    TRY(read(s[1], got, 0));
    TRY(write(s[1], "", 0));
    events("after an empty message", s[0]);
    TRY(recv(s[0], got, sizeof got, MSG_DONTWAIT));
    TRY(send(s[1], data, 10, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR | MSG_MORE));
    TRY(recvfrom(s[0], got, 4, MSG_TRUNC, NULL, NULL));
    TRY(recvfrom(s[0], got, 4, MSG_TRUNC | MSG_DONTWAIT, NULL, NULL));
    part();
}

static void refuses(int kind) {
    struct sockaddr_un name = {AF_UNIX, "nowhere"};
    struct sockaddr_storage other;
    struct iovec parts[] = {{data, 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    socklen_t size = sizeof other;
    int value = 0;
    pair(kind);
    TRY(send(99, data, 1, 0));
    TRY(send(1, data, 1, 0));
    TRY(recv(1, data, 1, 0));
    TRY(shutdown(1, 0));
    TRY(shutdown(s[0], 3));
    TRY(shutdown(s[0], -1));
    TRY(send(s[0], (char *)8, 5, 0));
    TRY(send(s[0], (char *)-1, 5, 0));
    TRY(recv(s[0], (char *)8, 5, MSG_DONTWAIT));
    TRY(recv(s[0], (char *)-1, 5, MSG_DONTWAIT));
    TRY(lseek(s[0], 0, SEEK_SET));
    TRY(pread(s[0], data, 1, 0));
    TRY(fsync(s[0]));
    TRY(mmap(0, 4096, PROT_READ, MAP_SHARED, s[0], 0) == MAP_FAILED ? -1 : 0);
    TRY(ioctl(s[0], TCGETS, data));
    TRY(fchdir(s[0]));
    TRY(ftruncate(s[0], 0));
    TRY(posix_fadvise(s[0], 0, 0, 0));
    TRY(syscall(SYS_getdents64, s[0], data, 1000));
    TRY(syscall(SYS_sendfile, s[0], s[1], NULL, 10));
    TRY(fcntl(s[0], F_GETPIPE_SZ));
    snprintf(data, sizeof data, "/proc/self/fd/%d", s[0]);
    TRY(open(data, O_RDWR));
    TRY(readlink(data, data + 100, 50) > 8 && memcmp(data + 100, "socket:[", 8) == 0);
    TRY(sendto(s[0], data, 1, 0, (void *)&name, 129));
    TRY(sendto(s[0], data, 1, 0, (void *)8, 20));
    if (kind != SOCK_DGRAM) TRY(sendto(s[0], data, 1, 0, (void *)&name, sizeof name));
    else {
        name.sun_path[0] = 0;
        TRY(sendto(s[0], data, 1, 0, (void *)&name, sizeof name));
        TRY(sendto(s[0], data, 1, 0, (void *)&name, 2));
        TRY(sendto(s[0], data, 1, 0, (void *)&name, 111));
        name.sun_family = AF_INET;
        TRY(sendto(s[0], data, 1, 0, (void *)&name, sizeof name));
    }
    TRY(syscall(SYS_sendmsg, s[0], 8, 0)); /* musl would look at it */
    TRY(syscall(SYS_sendmsg, 99, 8, 0));
    TRY(syscall(SYS_recvmsg, s[0], 8, 0));
    TRY(sendmsg(s[0], &message, 0x80000000));
    message.msg_iovlen = 1025;
    TRY(sendmsg(s[0], &message, 0));
    TRY(recvmsg(s[0], &message, MSG_DONTWAIT));
    message.msg_iovlen = 1, message.msg_name = data, message.msg_namelen = -1;
    TRY(sendmsg(s[0], &message, 0));
    TRY(recvmsg(s[0], &message, MSG_DONTWAIT));
    message.msg_name = NULL, parts[0].iov_len = -1;
    TRY(sendmsg(s[0], &message, 0));
    TRY(recvmsg(s[0], &message, MSG_DONTWAIT));
    TRY(recv(s[0], data, 10, MSG_OOB));
    memset(&other, 0xaa, sizeof other);
    TRY(getsockname(s[0], (void *)&other, &size));
    say("%d %d %x\n", size, other.ss_family, ((unsigned char *)&other)[2]);
    size = 1;
    TRY(getpeername(s[0], (void *)&other, &size));
    say("%d\n", size);
    size = -1;
    TRY(getpeername(s[0], (void *)&other, &size));
    TRY(getsockname(s[0], (void *)&other, (socklen_t *)8));
    TRY(getsockname(1, (void *)&other, &size));
    size = sizeof other;
    TRY(send(s[1], "x", 1, 0));
    TRY(recvfrom(s[0], data, 10, 0, (void *)&other, &size));
    say("%d\n", size);
    size = sizeof value;
    TRY(getsockopt(s[0], 77, SO_TYPE, &value, &size));
    TRY(getsockopt(s[0], SOL_SOCKET, 9999, &value, &size));
    TRY(getsockopt(1, SOL_SOCKET, SO_TYPE, &value, &size));
    TRY(getsockopt(s[0], SOL_SOCKET, SO_TYPE, (void *)8, &size));
    TRY(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, (socklen_t *)8));
    size = -1;
    TRY(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, &size));
    TRY(setsockopt(s[0], 77, SO_SNDBUF, &value, 4));
    TRY(setsockopt(s[0], SOL_SOCKET, 9999, &value, 4));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, 4));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, 3));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, -1));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, (void *)8, 4));
    part();
}

static void options(int kind) {
    static const int all[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_SNDBUF, SO_RCVBUF,
                              SO_PASSCRED, SO_ACCEPTCONN, SO_RCVLOWAT, SO_REUSEADDR};
    pair(kind);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int value = -1;
        socklen_t size = sizeof value;
        int result = getsockopt(s[0], SOL_SOCKET, all[i], &value, &size);
        say("option %d: %d %d %d\n", all[i], result, value, size);
    }
    struct ucred who = {0, 0, 0};
    socklen_t size = 100;
    TRY(getsockopt(s[1], SOL_SOCKET, SO_PEERCRED, &who, &size));
    say("%d %d %d %d\n", size, who.pid == getpid(), who.uid == getuid(), who.gid == getgid());
    static const int sizes[] = {0, 1, 1000, 2304, 10000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int value = 0;
        size = sizeof value;
        TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &sizes[i], sizeof *sizes));
        getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, &size);
        TRY(setsockopt(s[0], SOL_SOCKET, SO_RCVBUF, &sizes[i], sizeof *sizes));
        int other = 0;
        getsockopt(s[0], SOL_SOCKET, SO_RCVBUF, &other, &size);
        say("%d: %d %d\n", sizes[i], value, other);
    }
    static const int flags[] = {SO_REUSEADDR, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE,
                                SO_DONTROUTE, SO_PASSCRED, SO_PROTOCOL, SO_ACCEPTCONN, SO_ERROR};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        int value = 7;
        size = sizeof value;
        TRY(setsockopt(s[0], SOL_SOCKET, flags[i], &value, sizeof value));
        getsockopt(s[0], SOL_SOCKET, flags[i], &value, &size);
        say("option %d: %d\n", flags[i], value);
    }
    char short_value[4] = "\x55\x55\x55\x55";
    size = 1;
    TRY(getsockopt(s[0], SOL_SOCKET, SO_TYPE, short_value, &size));
    say("%d %d %x\n", size, short_value[0], short_value[1]);
    part();
}

/* How much fits, for messages of one size; what it takes until there is room again. */
static void fills(int kind, size_t size, int buffer) {
    int count = 0, left = 0, queued = 0;
    pair(kind);
    if (buffer) setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    long total = 0, sent;
    while ((sent = send(s[0], data, size, MSG_DONTWAIT)) > 0) count++, total += sent;
    ioctl(s[0], TIOCOUTQ, &queued);
    int error = errno;
    say("%d messages of %d: %ld bytes, %d, then %d\n", count, (int)size, total, queued, error);
    events("full", s[0]);
    struct pollfd file = {s[0], POLLOUT, 0};
    while (poll(&file, 1, 0) == 0 && recv(s[1], data, size, MSG_DONTWAIT) > 0) left++;
    say("%d were received, then there was room\n", left);
    part();
}

static void ends(int kind) {
    char got[16];
    int error = 0;
    socklen_t size = sizeof error;
    for (int how = 0; how < 3; how++) {
        pair(kind);
        TRY(write(s[1], "left", 4));
        TRY(shutdown(s[0], how));
        events("this", s[0]);
        events("that", s[1]);
        TRY(send(s[0], "x", 1, 0));
        TRY(send(s[1], "x", 1, 0));
        TRY(send(s[1], "x", 1, MSG_NOSIGNAL));
        TRY(write(s[1], "x", 0));
        TRY(recv(s[0], got, 2, MSG_DONTWAIT));
        TRY(recv(s[0], got, 2, MSG_DONTWAIT));
        TRY(recv(s[0], got, 2, MSG_DONTWAIT));
        TRY(recv(s[1], got, 4, MSG_DONTWAIT));
        TRY(recv(s[1], got, 4, MSG_DONTWAIT));
        if (how == SHUT_RD) TRY(recv(s[0], got, 4, 0));
        say("%d pipes\n", pipes), pipes = 0;
        part();
    }
    for (int unread = 0; unread < 2; unread++) {
        pair(kind);
        TRY(write(s[0], "seen", 4));
        if (unread) TRY(write(s[1], "unseen", 6));
        TRY(close(s[0]));
        events("closed", s[1]);
        if (kind == SOCK_STREAM) TRY(recv(s[1], got, 2, MSG_DONTWAIT));
        TRY(recv(s[1], got, 4, MSG_DONTWAIT));
        TRY(recv(s[1], got, 4, MSG_DONTWAIT));
        TRY(recv(s[1], got, 4, MSG_DONTWAIT));
        events("read", s[1]);
        TRY(send(s[1], "x", 1, 0));
        TRY(send(s[1], "x", 1, 0));
        struct sockaddr_storage other;
        socklen_t length = sizeof other;
        TRY(getpeername(s[1], (void *)&other, &length));
        say("%d pipes\n", pipes), pipes = 0;
        close(s[1]);
    }
    pair(kind);
    TRY(write(s[1], "unseen", 6));
    close(s[0]);
    TRY(getsockopt(s[1], SOL_SOCKET, SO_ERROR, &error, &size));
    say("error %d\n", error);
    TRY(getsockopt(s[1], SOL_SOCKET, SO_ERROR, &error, &size));
    say("error %d\n", error);
    close(s[1]);
    pair(kind);
    TRY(write(s[1], "unseen", 6));
    TRY(write(s[0], "lost?", 5));
    close(s[0]);
    TRY(send(s[1], "x", 1, 0));
    TRY(recv(s[1], got, 8, MSG_DONTWAIT));
    TRY(recv(s[1], got, 8, MSG_DONTWAIT));
    close(s[1]);
    say("%d pipes\n", pipes), pipes = 0;
}

/* A buffer whose second half is not there. */
static void half_bad(int kind) {
    char got[20] = {0};
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    edge += 4096;
    pair(kind);
    memcpy(edge - 5, "abcde", 5);
    TRY(write(s[0], edge - 5, 10));
    TRY(write(s[0], "12345678", 8));
    TRY(write(s[0], "9", 1));
    TRY(read(s[1], edge - 4, 6));
    TRY(recv(s[1], edge - 4, 6, MSG_PEEK | MSG_DONTWAIT));
    TRY(recv(s[1], got, 3, MSG_DONTWAIT));
    TRY(recv(s[1], edge - 5, 20, MSG_DONTWAIT));
    TRY(recv(s[1], got, 20, MSG_DONTWAIT));
    say("%s\n", got);
    if (kind == SOCK_STREAM) {
        memset(edge - 4096, 'z', 4096);
        struct iovec parts[] = {{data, 40000}, {edge - 5, 10}};
        TRY(writev(s[0], parts, 2));
        TRY(recv(s[1], data, sizeof data, MSG_DONTWAIT));
    }
    part();
}

static void waits(void) {
    char got[16] = {0};
    pair(SOCK_STREAM);
    pid_t child = fork();
    if (child == 0) {
        close(s[0]);
        sleep_ms(20), write(s[1], "abc", 3);
        sleep_ms(20), write(s[1], "def", 3);
        sleep_ms(20), write(s[1], "ghi", 3);
        sleep_ms(20);
        _exit(0);
    }
    close(s[1]);
    TRY(recv(s[0], got, 3, MSG_WAITALL | MSG_PEEK));
    TRY(recv(s[0], got, 5, MSG_WAITALL));
    say("%.5s\n", got);
    TRY(recv(s[0], got, 9, MSG_WAITALL));
    say("%.4s\n", got);
    TRY(recv(s[0], got, 9, MSG_WAITALL));
    close(s[0]);
    waitpid(child, NULL, 0);

    pair(SOCK_SEQPACKET);
    if ((child = fork()) == 0) {
        long total = 0, found;
        close(s[1]);
        while ((found = recv(s[0], data, sizeof data, 0)) > 0) total += found;
        say("a child got %ld bytes, then %ld\n", total, found);
        _exit(0);
    }
    close(s[0]);
    for (int i = 0; i < 20; i++) if (send(s[1], data, 50000, 0) != 50000) say("short\n");
    close(s[1]);
    waitpid(child, NULL, 0);

    pair(SOCK_STREAM);
    if ((child = fork()) == 0) {
        long total = 0, found;
        close(s[1]);
        sleep_ms(20);
        while ((found = recv(s[0], data, sizeof data, 0)) > 0) total += found;
        say("a child got %ld bytes, then %ld\n", total, found);
        _exit(0);
    }
    close(s[0]);
    TRY(write(s[1], data, sizeof data));
    close(s[1]);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 2; i++) {
        pair(kinds[i]);
        if ((child = fork()) == 0) sleep_ms(20), shutdown(s[0], SHUT_RD), _exit(0);
        TRY(recv(s[0], got, 3, 0));
        part();
        waitpid(child, NULL, 0);
    }
    signal(SIGALRM, on_pipe);
    on(SIGALRM, on_pipe, 0);
    pair(SOCK_STREAM);
    struct itimerspec soon = {{0, 0}, {0, 20000000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    timer_settime(timer, 0, &soon, NULL);
    TRY(recv(s[0], got, 3, 0));
    write(s[1], "ab", 2);
    timer_settime(timer, 0, &soon, NULL);
    TRY(recv(s[0], got, 3, MSG_WAITALL));
    timer_settime(timer, 0, &soon, NULL);
    TRY(write(s[0], data, sizeof data) == 219264);
    part();
    pipes = 0;
}

static void selects(void) {
    pair(SOCK_STREAM);
    fd_set reads, writes;
    struct timeval now = {0, 0};
    FD_ZERO(&reads);
    FD_ZERO(&writes);
    FD_SET(s[0], &reads);
    FD_SET(s[0], &writes);
    TRY(select(s[0] + 1, &reads, &writes, NULL, &now));
    close(s[1]);
    FD_SET(s[0], &reads);
    FD_SET(s[0], &writes);
    TRY(select(s[0] + 1, &reads, &writes, NULL, &now));
    close(s[0]);
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {EPOLLIN | EPOLLET | EPOLLRDHUP, {0}}, got = {0};
        pair(kinds[i]);
        int epoll = epoll_create1(0);
        TRY(epoll_ctl(epoll, EPOLL_CTL_ADD, s[0], &event));
        TRY(epoll_wait(epoll, &got, 1, 0));
        write(s[1], "ab", 2);
        TRY(epoll_wait(epoll, &got, 1, 0));
        TRY(epoll_wait(epoll, &got, 1, 0));
        write(s[0], "back", 4);
        read(s[1], data, 4);
        TRY(epoll_wait(epoll, &got, 1, 0));
        write(s[1], "cd", 2);
        TRY(epoll_wait(epoll, &got, 1, 0));
        close(s[1]);
        TRY(epoll_wait(epoll, &got, 1, 0));
        say("%x\n", got.events);
        close(s[0]), close(epoll);
    }
}

int main(void) {
    on(SIGPIPE, on_pipe, SA_RESTART);
    makes();
    for (int i = 0; i < 3; i++) {
        say("-- kind %d\n", kinds[i]);
        moves(kinds[i]);
        refuses(kinds[i]);
        options(kinds[i]);
        fills(kinds[i], 1, 0);
        fills(kinds[i], 5000, 0);
        fills(kinds[i], 50000, 0);
        fills(kinds[i], 3000, 5000);
        fills(kinds[i], 100, 1);
        ends(kinds[i]);
        half_bad(kinds[i]);
    }
    waits();
    selects();
    return 0;
}
