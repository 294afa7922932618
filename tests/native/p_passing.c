/* Descriptors and identities in messages: who gets what, what is cut off, what is closed when.
 * Without a message, and where a sender names nobody, identities are those of Linux 6.16. */
#include "p_native.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { MOST = 300 };

static int s[2], ends[2];
static pid_t child;
static char bytes[1 << 16];
static union {
    char raw[4096];
    struct cmsghdr head;
} control;
static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

static void pair(int kind) {
    if (socketpair(AF_UNIX, kind, 0, s) != 0) _exit(98);
}

static void part(void) { close(s[0]), close(s[1]); }

/* Append a control message to `at`; returns the bytes so far. */
static size_t add(size_t at, int level, int type, const void *content, size_t size) {
    struct cmsghdr *head = (void *)(control.raw + at);
    memset(head, 0, CMSG_SPACE(size));
    head->cmsg_len = CMSG_LEN(size), head->cmsg_level = level, head->cmsg_type = type;
    memcpy(CMSG_DATA(head), content, size);
    return at + CMSG_SPACE(size);
}

static long send_control(int fd, size_t size, size_t count) {
    struct iovec part = {bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.raw,
                             .msg_controllen = size};
    return sendmsg(fd, &message, MSG_DONTWAIT);
}

static long pass(int fd, size_t count, const int *fds, int number) {
    return send_control(fd, add(0, SOL_SOCKET, SCM_RIGHTS, fds, number * sizeof *fds), count);
}

static long pass_one(int fd, int given) { return pass(fd, 1, &given, 1); }

/* The descriptors that came last. */
static int came[MOST], count_came;

static long get(int fd, size_t count, void *room, size_t size, int flags) {
    struct iovec part = {bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room,
                             .msg_controllen = size, .msg_flags = -1};
    memset(control.raw, 0, sizeof control.raw);
    count_came = 0;
    long found = recvmsg(fd, &message, flags | MSG_DONTWAIT);
    if (found < 0) return -1;
    say("  flags %x, control %d\n", message.msg_flags, (int)message.msg_controllen);
    if (message.msg_controllen < sizeof(struct cmsghdr)) return found;
    char *at = room, *end = at + message.msg_controllen;
    for (struct cmsghdr *head; at < end; at += (head->cmsg_len + 7) & ~7ul) {
        head = (void *)at;
        say("  length %d, level %d, type %d\n", (int)head->cmsg_len, head->cmsg_level,
            head->cmsg_type);
        if (head->cmsg_type == SCM_RIGHTS) {
            count_came = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(came, CMSG_DATA(head), count_came * sizeof(int));
            for (int i = 0; i < count_came && i < 5; i++)
                say("  descriptor %d, mode %x, on exec %d\n", came[i],
                    fcntl(came[i], F_GETFL) & (O_ACCMODE | O_PATH), fcntl(came[i], F_GETFD));
        } else if (head->cmsg_type == SCM_CREDENTIALS) {
            struct ucred who = {-9, 0, 0};
            size_t size = head->cmsg_len - CMSG_LEN(0);
            memcpy(&who, CMSG_DATA(head), size < sizeof who ? size : sizeof who);
            say("  from %d %d %d\n", who.pid == getpid() ? 1 : who.pid == child ? 2 : who.pid,
                who.uid == getuid() ? 1 : (int)who.uid, who.gid == getgid() ? 1 : (int)who.gid);
        }
    }
    return found;
}

static void drop(void) {
    for (int i = 0; i < count_came; i++) close(came[i]);
    count_came = 0;
}

/* Is the write end of the pipe open anywhere?  Linux looks for lost sockets when any other socket
 * goes, and a little later. */
static void held(const char *what) {
    int other[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, other);
    close(other[0]), close(other[1]);
    struct pollfd file = {ends[0], POLLIN, 0};
    poll(&file, 1, 100);
    say("%s: the pipe is %s\n", what, file.revents & POLLHUP ? "closed" : "open");
}

static void passes(int kind) {
    char got[8] = {0};
    pair(kind);
    pipe(ends);
    TRY(pass_one(s[0], ends[1]));
    close(ends[1]);
    TRY(get(s[1], 10, control.raw, sizeof control, 0));
    TRY(write(came[0], "hello", 5));
    TRY(read(ends[0], got, 8));
    say("%s\n", got);
    held("received");
    TRY(pass(s[1], 1, came, 1));
    drop();
    held("in flight");
    TRY(get(s[0], 1, control.raw, sizeof control, MSG_CMSG_CLOEXEC));
    drop();
    held("closed");
    close(ends[0]);

    pipe(ends);
    int many[] = {ends[0], ends[1], ends[1], s[0]};
    TRY(pass(s[0], 4, many, 4));
    TRY(get(s[1], 4, control.raw, CMSG_SPACE(2 * sizeof(int)), 0));
    drop();
    TRY(pass(s[0], 4, many, 4));
    TRY(get(s[1], 4, control.raw, CMSG_LEN(3 * sizeof(int)), 0));
    drop();
    static const size_t sizes[] = {0, 1, 15, 16, 17, 19, 20, 23, 24};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        TRY(pass(s[0], 4, many, 2));
        say("room for %d\n", (int)sizes[i]);
        TRY(get(s[1], 4, control.raw, sizes[i], 0));
        drop();
    }
    TRY(pass(s[0], 4, many, 4));
    TRY(get(s[1], 4, NULL, 0, 0));
    TRY(pass(s[0], 4, many, 4));
    TRY(get(s[1], 4, NULL, 100, 0));
    TRY(pass(s[0], 4, many, 4));
    TRY(get(s[1], 4, (void *)8, 100, 0));
    TRY(pass(s[0], 4, many, 4));
    TRY(read(s[1], bytes, 4));
    TRY(pass(s[0], 4, many, 4));
    TRY(recv(s[1], bytes, 2, MSG_PEEK));
    TRY(recv(s[1], bytes, 2, 0));
    TRY(get(s[1], 4, control.raw, sizeof control, 0));
    close(ends[1]);
    held("all received or lost");
    close(ends[0]);
    TRY(get(s[1], 4, control.raw, sizeof control, 0));
    TRY(pass(s[0], 0, many + 3, 1));
    TRY(get(s[1], 4, control.raw, sizeof control, 0));
    drop();
    part();
}

/* A stream ends a receive where descriptors are; peeking at them makes others. */
static void bounds(int kind) {
    pair(kind);
    pipe(ends);
    TRY(write(s[0], "ab", 2));
    TRY(pass(s[0], 3, ends, 1));
    TRY(write(s[0], "cd", 2));
    TRY(pass(s[0], 2, ends + 1, 1));
    TRY(pass(s[0], 2, ends, 2));
    TRY(get(s[1], 2, control.raw, sizeof control, MSG_PEEK));
    drop();
    TRY(get(s[1], 4, control.raw, sizeof control, MSG_PEEK));
    drop();
    TRY(get(s[1], 3, control.raw, sizeof control, 0));
    drop();
    for (int i = 0; i < 5; i++) {
        TRY(get(s[1], 20, control.raw, sizeof control, 0));
        drop();
    }
    close(ends[1]);
    held("after peeking");
    close(ends[0]);
    pipe(ends);
    TRY(pass_one(s[0], ends[1]));
    close(ends[1]);
    held("sent");
    TRY(shutdown(s[1], SHUT_RD));
    TRY(pass_one(s[0], ends[0]));
    TRY(get(s[1], 0, control.raw, sizeof control, 0));
    drop();
    held("received after the end");
    close(ends[0]);
    part();
}

static void refuses(int kind) {
    pair(kind);
    int some[MOST], bad[] = {s[0], 99}, negative = -1;
    uint64_t *length = (void *)control.raw;
    pipe(ends);
    for (int i = 0; i < MOST; i++) some[i] = ends[i & 1];
    TRY(pass(s[0], 1, some, 253));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    say("%d came\n", count_came);
    drop();
    TRY(pass(s[0], 1, some, 254));
    TRY(pass(s[0], 1, bad, 2));
    TRY(pass(s[0], 1, &negative, 1));
    TRY(pass(s[0], 1, some, 0));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    size_t size = add(0, SOL_SOCKET, SCM_RIGHTS, some, 12);
    TRY(send_control(s[0], add(size, SOL_SOCKET, SCM_RIGHTS, some, 8), 1));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    drop();
    size = add(0, SOL_SOCKET, SCM_RIGHTS, some, 200 * sizeof(int));
    TRY(send_control(s[0], add(size, SOL_SOCKET, SCM_RIGHTS, some, 54 * sizeof(int)), 1));
    TRY(send_control(s[0], add(0, SOL_SOCKET, 77, some, 4), 1));
    TRY(send_control(s[0], add(0, 77, 77, some, 4), 1));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    add(0, SOL_SOCKET, SCM_RIGHTS, some, 4);
    *length = 15;
    TRY(send_control(s[0], 24, 1));
    *length = 25;
    TRY(send_control(s[0], 24, 1));
    *length = 22;
    TRY(send_control(s[0], 24, 1));
    *length = 20;
    TRY(send_control(s[0], 15, 1));
    TRY(send_control(s[0], 19, 1));
    struct iovec part_ = {bytes, 1};
    struct msghdr message = {.msg_iov = &part_, .msg_iovlen = 1, .msg_control = (void *)8,
                             .msg_controllen = 20};
    TRY(syscall(SYS_sendmsg, s[0], &message, 0));
    message.msg_control = control.raw, message.msg_controllen = 1 << 20;
    TRY(syscall(SYS_sendmsg, s[0], &message, 0));
    for (int i = 0; i < 3; i++) TRY(recv(s[1], bytes, 1, MSG_DONTWAIT));
    TRY(recv(s[1], bytes, 1, MSG_DONTWAIT));
    part();
    pair(kind);
    close(s[1]);
    TRY(pass_one(s[0], s[0]));
    TRY(pass(s[0], 1, bad, 2));
    close(s[0]), close(ends[0]), close(ends[1]);
}

static void identities(int kind) {
    struct ucred who = {getpid(), getuid(), getgid()}, other = {getppid(), getuid(), getgid()};
    int yes = 1, no = 0;
    pair(kind);
    TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &who, sizeof who), 1));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &who, sizeof who), 1));
    TRY(write(s[0], "x", 1));
    TRY(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
    TRY(write(s[0], "y", 1));
    child = fork();
    if (child == 0) write(s[0], "z", 1), _exit(0);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 3; i++) TRY(get(s[1], 10, control.raw, sizeof control, 0));
    if (kind != SOCK_STREAM) TRY(get(s[1], 10, control.raw, sizeof control, 0) == 1);
    TRY(write(s[0], "z", 1));
    TRY(get(s[1], 1, NULL, 0, 0));
    static const size_t sizes[] = {0, 15, 16, 20, 27, 28, 31, 32, 48, 52, 56};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        TRY(pass_one(s[0], s[0]));
        say("room for %d\n", (int)sizes[i]);
        TRY(get(s[1], 1, control.raw, sizes[i], 0));
        drop();
    }
    TRY(pass_one(s[0], s[1]));
    TRY(get(s[1], 1, (void *)8, 100, 0));
    TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &who, sizeof who - 4), 1));
    if (getuid() != 0) {
        TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &other, sizeof other), 1));
        other.pid = getpid(), other.uid = 0;
        TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &other, sizeof other), 1));
        other.uid = getuid(), other.gid = 12345;
        TRY(send_control(s[0], add(0, SOL_SOCKET, SCM_CREDENTIALS, &other, sizeof other), 1));
    }
    size_t size = add(0, SOL_SOCKET, SCM_RIGHTS, s, sizeof *s);
    TRY(send_control(s[0], add(size, SOL_SOCKET, SCM_CREDENTIALS, &who, sizeof who), 1));
    TRY(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &no, sizeof no));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    drop();
    TRY(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
    TRY(write(s[0], "w", 1));
    TRY(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    close(s[0]);
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    close(s[1]);
}

/* What the receiver may not have, it does not get. */
static void limits(void) {
    struct rlimit limit = {0, 0}, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    pair(SOCK_STREAM);
    int four[] = {s[0], s[1], s[0], s[1]};
    low = limit, low.rlim_cur = 7;
    setrlimit(RLIMIT_NOFILE, &low);
    TRY(pass(s[0], 1, four, 4));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    TRY(pass(s[0], 1, four, 4));
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    close(5), close(6);
    int two[2] = {-1, -1};
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, two));
    close(two[0]), close(two[1]);
    low.rlim_cur = 6;
    setrlimit(RLIMIT_NOFILE, &low);
    two[0] = two[1] = -1;
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, two));
    say("%d %d\n", two[0], two[1]);
    low.rlim_cur = 8;
    setrlimit(RLIMIT_NOFILE, &low);
    if (getuid() != 0) for (int i = 0; i < 4; i++) TRY(pass(s[0], 1, four, 4));
    TRY(write(s[0], "a", 1));
    for (int i = 0; i < 4; i++) { TRY(get(s[1], 1, control.raw, sizeof control, 0)); drop(); }
    setrlimit(RLIMIT_NOFILE, &limit);
    part();
}

/* Sockets in the queues of each other: when no process can reach them, they are gone. */
static void circles(int kind) {
    int other[2];
    pair(kind);
    pipe(ends);
    TRY(pass_one(s[0], ends[1]));
    TRY(pass_one(s[0], s[1]));
    close(ends[1]), close(s[1]);
    held("its own queue, and a peer");
    close(s[0]);
    held("its own queue");
    close(ends[0]);

    pair(kind);
    pipe(ends);
    socketpair(AF_UNIX, SOCK_STREAM, 0, other);
    TRY(pass_one(s[0], ends[1]));
    TRY(pass_one(s[0], other[0]));
    TRY(pass_one(s[0], other[1]));
    TRY(pass_one(other[0], s[1]));
    TRY(pass_one(other[1], s[0]));
    close(ends[1]), close(s[0]), close(s[1]), close(other[0]);
    held("a ring with one way in");
    TRY(get(other[1], 1, control.raw, sizeof control, 0));
    TRY(get(came[0], 1, control.raw, sizeof control, 0));
    int pipe_again = came[0];
    close(other[1]);
    held("received out of the ring");
    close(pipe_again);
    close(3), close(4), close(5), close(6), close(7), close(8);
    held("a ring");
    for (int i = 3; i < 20; i++) close(i);

    /* A process dies with descriptors on their way to nobody. */
    pipe(ends);
    child = fork();
    if (child == 0) {
        pair(kind);
        pass_one(s[0], ends[1]), pass_one(s[0], s[1]), pass_one(s[1], s[0]), pass_one(s[1], s[1]);
        raise(SIGKILL);
    }
    close(ends[1]);
    waitpid(child, NULL, 0);
    held("a dead process");
    close(ends[0]);

    /* A long chain falls at once. */
    pipe(ends);
    int last = ends[1];
    for (int i = 0; i < 200; i++) {
        socketpair(AF_UNIX, kind, 0, s);
        pass_one(s[0], last);
        close(last), close(s[0]);
        last = s[1];
    }
    held("a chain");
    close(last);
    held("a fallen chain");
    close(ends[0]);
}

/* An open file is one and the same on both sides. */
static void shares(void) {
    char got[8] = {0};
    pair(SOCK_STREAM);
    child = fork();
    if (child == 0) {
        close(s[0]);
        char name[] = "shared";
        int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        write(file, "abcdefgh", 8), lseek(file, 2, SEEK_SET), unlink(name);
        pass_one(s[1], file), pass_one(s[1], open(".", O_PATH | O_DIRECTORY));
        lseek(file, 1, SEEK_CUR);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    TRY(get(s[0], 1, control.raw, sizeof control, 0));
    TRY(read(came[0], got, 3));
    say("%s\n", got);
    drop();
    TRY(get(s[0], 1, control.raw, sizeof control, 0));
    TRY(fchdir(came[0]));
    drop();
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = 7}};
    part();
    pair(SOCK_DGRAM);
    pipe(ends);
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    TRY(pass_one(s[0], epoll));
    close(epoll);
    write(ends[1], "x", 1);
    TRY(get(s[1], 1, control.raw, sizeof control, 0));
    TRY(epoll_wait(came[0], &event, 1, 0));
    drop();
    part();
    close(ends[0]), close(ends[1]);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    for (int i = 3; i < 40; i++) close(i);
    for (int i = 0; i < 3; i++) {
        say("-- kind %d\n", kinds[i]);
        passes(kinds[i]);
        bounds(kinds[i]);
        refuses(kinds[i]);
        identities(kinds[i]);
        circles(kinds[i]);
    }
    limits();
    shares();
    return 0;
}
