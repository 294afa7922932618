/* Several messages in one call, and sockets that wait for a limited time. */
#include "p_native.h"
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { MOST = 8 };

static int s[2], rings;
static char data[100000], got[MOST][32];
static struct mmsghdr messages[MOST];
static struct iovec parts[MOST];
static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

static void on_ring(int number) { (void)number, rings++; }

static void pair(int kind) {
    if (socketpair(AF_UNIX, kind, 0, s) != 0) _exit(98);
}

static void part(void) { close(s[0]), close(s[1]); }

/* Message i is `sizes[i]` bytes. */
static void outgoing(const size_t *sizes, int count) {
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < count; i++) {
        parts[i] = (struct iovec){data, sizes[i]};
        messages[i].msg_hdr.msg_iov = &parts[i], messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_len = 77;
    }
}

static void incoming(int count) {
    memset(got, 0, sizeof got);
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < count; i++) {
        parts[i] = (struct iovec){got[i], 6};
        messages[i].msg_hdr.msg_iov = &parts[i], messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_len = 77;
    }
}

static void show(int count) {
    for (int i = 0; i < count; i++)
        say("  %d, flags %x: %s\n", messages[i].msg_len, messages[i].msg_hdr.msg_flags, got[i]);
}

/* The calls as the kernel has them: C libraries do more. */
static int sends(int fd, void *vector, unsigned count, unsigned flags) {
    return syscall(SYS_sendmmsg, fd, vector, count, flags);
}
static int receives(int fd, void *vector, unsigned count, unsigned flags, struct timespec *limit) {
    return syscall(SYS_recvmmsg, fd, vector, count, flags, limit);
}

static void several(int kind) {
    static const size_t sizes[] = {3, 0, 8, 5}, large[] = {50000, 50000, 50000, 90000, 9};
    struct timespec limit = {1, 0}, wrong = {0, 1000000000};
    pair(kind);
    strcpy(data, "abcdefghijkl");
    outgoing(sizes, 4);
    TRY(sends(s[0], messages, 4, 0));
    show(4);
    incoming(4);
    TRY(receives(s[1], messages, 3, MSG_DONTWAIT, NULL));
    show(4);
    incoming(4);
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, &limit));
    show(4);
    say("%d\n", limit.tv_sec < 1 && limit.tv_nsec > 0);
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    TRY(receives(s[1], messages, 0, MSG_DONTWAIT, NULL));
    TRY(sends(s[1], messages, 0, 0));
    TRY(receives(s[1], messages, 4, 0, &wrong));
    TRY(receives(s[1], messages, 4, 0, (void *)8));
    TRY(receives(1, messages, 4, 0, NULL));
    TRY(sends(1, messages, 4, 0));
    TRY(receives(99, messages, 4, 0, NULL));
    TRY(sends(99, messages, 4, 0));
    TRY(sends(s[0], (void *)8, 4, 0));
    TRY(receives(s[0], (void *)8, 4, MSG_DONTWAIT, NULL));
    TRY(sends(s[0], messages, 4, 0x80000000));
    outgoing(large, 5);
    TRY(sends(s[0], messages, 5, MSG_DONTWAIT));
    show(5);
    TRY(sends(s[0], messages, 5, MSG_DONTWAIT));
    part();

    pair(kind);
    outgoing(sizes, 4);
    parts[2].iov_base = (void *)8;
    TRY(sends(s[0], messages, 4, 0));
    TRY(sends(s[0], messages + 2, 2, 0));
    incoming(4);
    parts[0].iov_base = (void *)8;
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    write(s[0], "x", 1);
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    write(s[0], "y", 1), write(s[0], "z", 1), write(s[0], "z", 1);
    incoming(4);
    parts[0].iov_len = parts[1].iov_len = 1, parts[1].iov_base = (void *)8;
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    part();

    pair(kind);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20), write(s[0], "one", 3), write(s[0], "two", 3);
        sleep_ms(20), write(s[0], "three", 5);
        sleep_ms(20), write(s[0], "four", 4), write(s[0], "five", 4);
        _exit(0);
    }
    incoming(4);
    TRY(receives(s[1], messages, 4, MSG_WAITFORONE, NULL) > 0);
    waitpid(child, NULL, 0);
    while (recv(s[1], got[0], 30, MSG_DONTWAIT) > 0) continue;
    if ((child = fork()) == 0) {
        for (int i = 0; i < 4; i++) sleep_ms(20), write(s[0], "again", 5);
        _exit(0);
    }
    incoming(4);
    TRY(receives(s[1], messages, 4, 0, NULL));
    show(4);
    waitpid(child, NULL, 0);
    part();

    pair(kind);
    struct itimerval soon = {{0, 0}, {0, 30000}};
    write(s[0], "before", 6);
    incoming(4);
    on(SIGALRM, on_ring, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    TRY(receives(s[1], messages, 4, 0, NULL));
    show(2);
    int error;
    socklen_t size = sizeof error;
    /* Linux keeps a number of its own here. */
    getsockopt(s[1], SOL_SOCKET, SO_ERROR, &error, &size);
    setitimer(ITIMER_REAL, &soon, NULL);
    TRY(receives(s[1], messages, 4, 0, NULL));
    say("%d rings\n", rings), rings = 0;
    write(s[0], "before", 6);
    write(s[1], "lost", 4);
    close(s[0]);
    for (int i = 0; i < 4; i++) TRY(receives(s[1], messages, 4, MSG_DONTWAIT, NULL));
    close(s[1]);
}

static void times(int kind) {
    struct timeval limit = {0, 100000}, told, zero = {0, 0}, wrong = {0, 1000000}, never = {-1, 0};
    socklen_t size = sizeof told;
    struct timespec before, after;
    pair(kind);
    TRY(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &told, &size));
    say("%d %ld %ld\n", size, told.tv_sec, told.tv_usec);
    TRY(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit - 1));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &wrong, sizeof limit));
    wrong.tv_usec = -1;
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &wrong, sizeof limit));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, (void *)8, sizeof limit));
    TRY(setsockopt(1, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
    TRY(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &told, &size));
    say("%d %ld %ld\n", size, told.tv_sec, told.tv_usec);
    size = 8;
    TRY(getsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &told, &size));
    say("%d %ld\n", size, told.tv_sec);
    clock_gettime(CLOCK_MONOTONIC, &before);
    TRY(recv(s[0], data, 10, 0));
    TRY(read(s[0], data, 10));
    clock_gettime(CLOCK_MONOTONIC, &after);
    long waited = (after.tv_sec - before.tv_sec) * 1000;
    waited += (after.tv_nsec - before.tv_nsec) / 1000000;
    say("%d\n", waited >= 199 && waited < 5000);
    write(s[1], "abc", 3);
    TRY(recv(s[0], data, 10, MSG_WAITALL));
    struct itimerval soon = {{0, 0}, {0, 20000}};
    on(SIGALRM, on_ring, SA_RESTART);
    setitimer(ITIMER_REAL, &soon, NULL);
    TRY(recv(s[0], data, 10, 0));
    say("%d rings\n", rings), rings = 0;
    TRY(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never));
    TRY(recv(s[0], data, 10, 0));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &zero, sizeof zero));
    TRY(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
    while (send(s[0], data, 1000, MSG_DONTWAIT) == 1000) continue;
    TRY(write(s[0], data, 1000));
    TRY(recv(s[1], data, 1000, 0));
    TRY(write(s[0], data, 100000) > 0);
    part();
}

int main(void) {
    for (int i = 0; i < 3; i++) {
        say("-- kind %d\n", kinds[i]);
        several(kinds[i]);
        times(kinds[i]);
    }
    return 0;
}
