/* Waiting until one of several files is ready. */
#ifndef POLL_H
#define POLL_H

#include <signal.h>
#include <time.h>

#define POLLIN 1
#define POLLPRI 2
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 16
#define POLLNVAL 32

typedef unsigned long nfds_t;

struct pollfd {
    int fd;
    short events, revents;
};

int poll(struct pollfd *files, nfds_t count, int milliseconds);
int ppoll(struct pollfd *files, nfds_t count, const struct timespec *limit, const sigset_t *mask);

#endif
