/* Waiting until files are ready: poll, select, epoll, and eventfd. */

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

#include "syscall.h"

int poll(struct pollfd *files, nfds_t count, int milliseconds) {
    return (int)CALL(poll, files, count, milliseconds);
}

int ppoll(struct pollfd *files, nfds_t count, const struct timespec *limit, const sigset_t *mask) {
    struct timespec left; /* the kernel stores the time left; callers of poll do not expect it */
    if (limit) left = *limit;
    return (int)CALL(ppoll, files, count, limit ? &left : NULL, mask, sizeof(sigset_t));
}

int select(int count, fd_set *readable, fd_set *writable, fd_set *special, struct timeval *limit) {
    return (int)CALL(select, count, readable, writable, special, limit);
}

int epoll_create1(int flags) { return (int)CALL(epoll_create1, flags); }
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    return (int)CALL(epoll_ctl, epoll, operation, fd, event);
}
int epoll_wait(int epoll, struct epoll_event *events, int count, int milliseconds) {
    return (int)CALL(epoll_wait, epoll, events, count, milliseconds);
}

int eventfd(unsigned count, int flags) { return (int)CALL(eventfd2, count, flags); }
