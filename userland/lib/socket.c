/* Pairs of sockets, and descriptors for processes. */

#include <sys/pidfd.h>
#include <sys/socket.h>

#include "syscall.h"

int socketpair(int family, int type, int protocol, int sockets[2]) {
    return (int)CALL(socketpair, family, type, protocol, sockets);
}

int shutdown(int socket, int how) { return (int)CALL(shutdown, socket, how); }

ssize_t send(int socket, const void *data, size_t bytes, int flags) {
    return CALL(sendto, socket, data, bytes, flags, NULL, 0);
}

ssize_t recv(int socket, void *data, size_t bytes, int flags) {
    return CALL(recvfrom, socket, data, bytes, flags, NULL, NULL);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    return CALL(sendmsg, socket, message, flags);
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags) {
    return CALL(recvmsg, socket, message, flags);
}

int getsockopt(int socket, int level, int option, void *value, socklen_t *bytes) {
    return (int)CALL(getsockopt, socket, level, option, value, bytes);
}

int setsockopt(int socket, int level, int option, const void *value, socklen_t bytes) {
    return (int)CALL(setsockopt, socket, level, option, value, bytes);
}

int getsockname(int socket, struct sockaddr *address, socklen_t *bytes) {
    return (int)CALL(getsockname, socket, address, bytes);
}

int getpeername(int socket, struct sockaddr *address, socklen_t *bytes) {
    return (int)CALL(getpeername, socket, address, bytes);
}

int pidfd_open(pid_t pid, unsigned flags) { return (int)CALL(pidfd_open, pid, flags); }

int pidfd_getfd(int process, int fd, unsigned flags) {
    return (int)CALL(pidfd_getfd, process, fd, flags);
}

int pidfd_send_signal(int process, int signal, void *info, unsigned flags) {
    return (int)CALL(pidfd_send_signal, process, signal, info, flags);
}
