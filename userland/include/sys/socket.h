/* Pairs of connected sockets, their messages, and descriptors that travel in messages. */
#ifndef SYS_SOCKET_H
#define SYS_SOCKET_H

#include <sys/uio.h>

#define AF_UNIX 1
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define MSG_PEEK 0x2
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SOL_SOCKET 1
#define SO_TYPE 3
#define SO_ERROR 4
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_PASSCRED 16
#define SO_PEERCRED 17
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define SO_DOMAIN 39
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2

typedef unsigned socklen_t;

struct sockaddr {
    unsigned short sa_family;
    char sa_data[14];
};

struct ucred {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

struct msghdr {
    void *msg_name;
    socklen_t msg_namelen;
    struct iovec *msg_iov;
    size_t msg_iovlen;
    void *msg_control;
    size_t msg_controllen;
    int msg_flags;
};

/* A control message: this header, then its content. Both are padded to a multiple of 8 bytes. */
struct cmsghdr {
    size_t cmsg_len; /* of header and content, without the padding behind them */
    int cmsg_level, cmsg_type;
};

#define CMSG_ALIGN(size) (((size) + 7) & ~(size_t)7)
#define CMSG_LEN(size) (sizeof(struct cmsghdr) + (size))
#define CMSG_SPACE(size) (sizeof(struct cmsghdr) + CMSG_ALIGN(size))
#define CMSG_DATA(head) ((unsigned char *)((head) + 1))
#define CMSG_FIRSTHDR(message)                             \
    ((message)->msg_controllen >= sizeof(struct cmsghdr)   \
         ? (struct cmsghdr *)(message)->msg_control        \
         : (struct cmsghdr *)0)
#define CMSG_NXTHDR(message, head) next_control(message, head)

static inline struct cmsghdr *next_control(struct msghdr *message, struct cmsghdr *head) {
    char *next = (char *)head + CMSG_ALIGN(head->cmsg_len);
    char *end = (char *)message->msg_control + message->msg_controllen;
    return next + sizeof(struct cmsghdr) <= end ? (struct cmsghdr *)next : (struct cmsghdr *)0;
}

int socketpair(int family, int type, int protocol, int sockets[2]);
int shutdown(int socket, int how);
ssize_t send(int socket, const void *data, size_t bytes, int flags);
ssize_t recv(int socket, void *data, size_t bytes, int flags);
ssize_t sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t recvmsg(int socket, struct msghdr *message, int flags);
int getsockopt(int socket, int level, int option, void *value, socklen_t *bytes);
int setsockopt(int socket, int level, int option, const void *value, socklen_t bytes);
int getsockname(int socket, struct sockaddr *address, socklen_t *bytes);
int getpeername(int socket, struct sockaddr *address, socklen_t *bytes);

#endif
