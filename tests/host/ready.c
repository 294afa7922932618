/* Waiting for files: poll, select, epoll by level and by edge, and eventfd. */

#include "say.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>

static int ends[2], file;
static char text[64];

static long polled(int fd, short events) {
    struct pollfd entry = {fd, events, 0};
    int found = poll(&entry, 1, 0);
    return found < 0 ? -1 : found * 1000 + entry.revents;
}

/* Send one byte, after a while, from a process of its own. */
static pid_t write_later(int fd) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        _exit(write(fd, "z", 1) != 1);
    }
    return pid;
}

static void polling(void) {
    TITLE("poll");
    SAY(polled(ends[0], POLLIN));
    SAY(polled(ends[1], POLLOUT));
    SAY(polled(ends[1], POLLIN));
    SAY(polled(ends[0], 0));
    SAY(polled(file, POLLIN | POLLOUT));
    SAY(polled(99, POLLIN));
    SAY(polled(-1, POLLIN));
    write(ends[1], "abc", 3);
    SAY(polled(ends[0], POLLIN));
    SAY(polled(ends[0], POLLIN | POLLOUT));
    read(ends[0], text, sizeof text);
    struct pollfd many[] = {
        {ends[0], POLLIN, 9}, {ends[1], POLLOUT, 9}, {file, POLLIN, 9}, {99, 0, 9}};
    SAY(poll(many, 4, -1));
    printf("%d %d %d %d\n", many[0].revents, many[1].revents, many[2].revents, many[3].revents);
    SAY(poll(NULL, 0, 1));
    SAY(poll(BAD, 1, 0));
    SAY(poll(many, 1ul << 32, 0));
    pid_t pid = write_later(ends[1]);
    SAY(poll(many, 1, -1));
    SAY(many[0].revents);
    read(ends[0], text, sizeof text);
    waitpid(pid, NULL, 0);
    SAY(poll(many, 1, 5));
    SAY(many[0].revents);
    SAY(ppoll(many, 1, &(struct timespec){0, 1000}, NULL));
    SAY(ppoll(many, 1, &(struct timespec){0, -1}, NULL));
    SAY(ppoll(many, 1, &(struct timespec){-1, 0}, NULL));
}

static void hanging_up(void) {
    int pair[2];
    TITLE("hang-ups");
    pipe(pair);
    write(pair[1], "x", 1);
    close(pair[1]);
    SAY(polled(pair[0], POLLIN));
    read(pair[0], text, 1);
    SAY(polled(pair[0], POLLIN));
    SAY(polled(pair[0], 0));
    close(pair[0]);
    pipe(pair);
    close(pair[0]);
    SAY(polled(pair[1], POLLOUT));
    SAY(polled(pair[1], 0));
    close(pair[1]);
}

static void selecting(void) {
    fd_set in, out;
    struct timeval none = {0, 0}, wrong = {-1, 0};
    TITLE("select");
    FD_ZERO(&in), FD_ZERO(&out);
    FD_SET(ends[0], &in), FD_SET(file, &in), FD_SET(ends[1], &out);
    SAY(select(10, &in, &out, NULL, &none));
    printf("%d %d %d\n", FD_ISSET(ends[0], &in), FD_ISSET(file, &in), FD_ISSET(ends[1], &out));
    /* Below 64: Linux looks only as far as the process's table of files is long. */
    FD_ZERO(&in), FD_SET(59, &in);
    SAY(select(60, &in, NULL, NULL, &none));
    SAY(select(50, &in, NULL, NULL, &none));
    SAY(select(-1, NULL, NULL, NULL, &none));
    SAY(select(0, NULL, NULL, NULL, &wrong));
    SAY(select(0, NULL, NULL, NULL, &none));
    SAY(select(10, BAD, NULL, NULL, &none));
    FD_ZERO(&in), FD_SET(ends[0], &in);
    pid_t pid = write_later(ends[1]);
    SAY(select(10, &in, NULL, NULL, NULL));
    SAY(FD_ISSET(ends[0], &in));
    read(ends[0], text, sizeof text);
    waitpid(pid, NULL, 0);
}

static int by_number(const void *a, const void *b) {
    const struct epoll_event *x = a, *y = b;
    return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}

/* What has come, sorted: in which order it comes is nobody's promise. */
static long waited(int epoll, int milliseconds) {
    struct epoll_event events[8];
    int found = epoll_wait(epoll, events, 8, milliseconds);
    if (found < 0) return -1;
    qsort(events, (size_t)found, sizeof *events, by_number);
    for (int i = 0; i < found; i++) printf("  [%x %lu]\n", events[i].events, events[i].data.u64);
    return found;
}

static long control(int epoll, int operation, int fd, unsigned events) {
    struct epoll_event event = {events, {.u64 = (unsigned)fd}};
    return epoll_ctl(epoll, operation, fd, &event);
}

static void by_level(int epoll) {
    TITLE("epoll by level");
    SAY(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    SAY(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    SAY(waited(epoll, 0));
    write(ends[1], "ab", 2);
    SAY(waited(epoll, -1));
    SAY(waited(epoll, 0));
    read(ends[0], text, 1);
    SAY(waited(epoll, 0));
    read(ends[0], text, 1);
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT));
    SAY(waited(epoll, -1));
    SAY(control(epoll, EPOLL_CTL_MOD, ends[1], 0));
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_DEL, ends[1], 0));
    SAY(control(epoll, EPOLL_CTL_DEL, ends[1], 0));
    SAY(control(epoll, EPOLL_CTL_MOD, ends[1], 0));
}

static void by_edge(int epoll) {
    TITLE("epoll by edge");
    SAY(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET));
    write(ends[1], "a", 1);
    SAY(waited(epoll, 0));
    SAY(waited(epoll, 0));
    write(ends[1], "b", 1);
    SAY(waited(epoll, 0));
    SAY(waited(epoll, 0));
    read(ends[0], text, sizeof text);
    SAY(waited(epoll, 0));
    write(ends[1], "c", 1);
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET));
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    SAY(waited(epoll, 0));
    SAY(waited(epoll, 0));
    write(ends[1], "d", 1);
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    SAY(waited(epoll, 0));
    read(ends[0], text, sizeof text);
}

static void nested_in_each_other(void) {
    int inner, outer, chain[7];
    TITLE("epoll in epoll");
    inner = epoll_create1(0);
    outer = epoll_create1(0);
    SAY(control(inner, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    SAY(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
    SAY(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
    SAY(waited(outer, 0));
    write(ends[1], "n", 1);
    SAY(waited(outer, 0));
    SAY(waited(outer, 0));
    SAY(polled(outer, POLLIN));
    SAY(control(outer, EPOLL_CTL_MOD, inner, EPOLLIN | EPOLLET));
    SAY(waited(outer, 0));
    SAY(waited(outer, 0));
    write(ends[1], "n", 1);
    SAY(waited(outer, 0));
    SAY(waited(outer, 0));
    SAY(control(inner, EPOLL_CTL_ADD, outer, EPOLLIN));
    SAY(control(inner, EPOLL_CTL_ADD, inner, EPOLLIN));
    read(ends[0], text, 2);
    SAY(control(outer, EPOLL_CTL_MOD, inner, EPOLLIN));
    SAY(waited(outer, 0));
    if (!fork()) {
        write(ends[1], "n", 1);
        _exit(0);
    }
    SAY(waited(outer, -1));
    wait(NULL);
    read(ends[0], text, 1);
    SAY(control(outer, EPOLL_CTL_DEL, inner, 0));
    SAY(control(inner, EPOLL_CTL_ADD, outer, EPOLLIN));
    close(inner);
    SAY(waited(outer, 0));
    close(outer);
    for (int i = 0; i < 7; i++) chain[i] = epoll_create1(0);
    for (int i = 1; i < 7; i++) SAY(control(chain[i], EPOLL_CTL_ADD, chain[i - 1], EPOLLIN));
    SAY(control(chain[0], EPOLL_CTL_ADD, ends[0], EPOLLIN));
    write(ends[1], "n", 1);
    SAY(waited(chain[3], 0));
    read(ends[0], text, 1);
    for (int i = 0; i < 7; i++) close(chain[i]);
}

static void many_of_them(int epoll) {
    int copy, pair[2];
    struct epoll_event event;
    TITLE("epoll, other cases");
    SAY(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN));
    copy = dup(ends[0]);
    SAY(control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN));
    write(ends[1], "x", 1);
    SAY(waited(epoll, 0));
    read(ends[0], text, 1);
    SAY(control(epoll, EPOLL_CTL_DEL, copy, 0));
    SAY(close(copy));
    pipe(pair);
    SAY(control(epoll, EPOLL_CTL_ADD, pair[0], EPOLLIN));
    close(pair[1]);
    SAY(waited(epoll, 0) == 1);
    close(pair[0]);
    SAY(waited(epoll, 0));
    SAY(control(epoll, EPOLL_CTL_ADD, file, EPOLLIN));
    SAY(control(epoll, EPOLL_CTL_ADD, 99, EPOLLIN));
    SAY(control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN));
    SAY(control(epoll, 77, ends[1], EPOLLIN));
    SAY(control(99, EPOLL_CTL_ADD, ends[1], EPOLLIN));
    SAY(control(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN));
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], BAD));
    SAY(epoll_wait(epoll, &event, 0, 0));
    SAY(epoll_wait(epoll, &event, -1, 0));
    SAY(epoll_wait(99, &event, 1, 0));
    SAY(epoll_wait(ends[0], &event, 1, 0));
    SAY(epoll_create1(0x1));
    SAY(polled(epoll, POLLIN));
    write(ends[1], "x", 1);
    SAY(polled(epoll, POLLIN));
    SAY(epoll_wait(epoll, BAD, 1, 0));
    read(ends[0], text, 1);
    SAY(read(epoll, text, 1));
    SAY(write(epoll, text, 1));
    pid_t pid = write_later(ends[1]);
    SAY(waited(epoll, -1) >= 1);
    read(ends[0], text, 1);
    waitpid(pid, NULL, 0);
    SAY(waited(epoll, 3));
}

static long got(int fd) {
    unsigned long value;
    return read(fd, &value, 8) == 8 ? (long)value : -1;
}

static long put(int fd, unsigned long value) { return write(fd, &value, 8); }

static void taking_turns(void) {
    struct epoll_event found[2];
    int epoll = epoll_create1(0), counters[3];
    TITLE("epoll with less room than there is to tell");
    for (int i = 0; i < 3; i++) {
        counters[i] = eventfd(1, EFD_NONBLOCK);
        struct epoll_event event = {EPOLLIN, {.u64 = (unsigned)i}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, counters[i], &event);
    }
    for (int room = 1; room <= 2; room++)
        for (int turn = 0; turn < 4; turn++) {
            SAY(epoll_wait(epoll, found, room, 0));
            SAY(found[0].data.u64);
            SAY(found[room - 1].data.u64);
        }
    for (int i = 0; i < 3; i++) close(counters[i]);
    close(epoll);
}

static void counters(void) {
    TITLE("eventfd");
    int fd = (int)SAY(eventfd(3, EFD_NONBLOCK));
    SAY(polled(fd, POLLIN | POLLOUT));
    SAY(got(fd));
    SAY(got(fd));
    SAY(polled(fd, POLLIN | POLLOUT));
    SAY(put(fd, 5));
    SAY(put(fd, 6));
    SAY(got(fd));
    SAY(read(fd, text, 4));
    SAY(write(fd, text, 4));
    SAY(put(fd, -1ul));
    SAY(put(fd, -2ul));
    SAY(put(fd, 1));
    SAY(polled(fd, POLLIN | POLLOUT));
    SAY(close(fd));
    fd = (int)SAY(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    SAY(got(fd));
    SAY(got(fd));
    SAY(got(fd));
    SAY(close(fd));
    SAY(eventfd(0, 0x2));
    fd = (int)SAY(eventfd(0, EFD_CLOEXEC));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        _exit(put(fd, 42) != 8);
    }
    SAY(got(fd));
    waitpid(pid, NULL, 0);
    close(fd);
}

int main(void) {
    SAY(pipe(ends));
    file = (int)SAY(open("f", O_RDWR | O_CREAT, 0644));
    polling();
    hanging_up();
    selecting();
    int epoll = (int)SAY(epoll_create1(EPOLL_CLOEXEC));
    by_level(epoll);
    by_edge(epoll);
    nested_in_each_other();
    many_of_them(epoll);
    taking_turns();
    counters();
    return 0;
}
