/* Waiting until one of several files is ready, the older way. */
#ifndef SYS_SELECT_H
#define SYS_SELECT_H

#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define FD_SETSIZE 1024

typedef struct {
    unsigned long bits[FD_SETSIZE / 64];
} fd_set;

#define FD_ZERO(set) (*(set) = (fd_set){0})
#define FD_SET(fd, set) ((set)->bits[(fd) / 64] |= 1ul << (fd) % 64)
#define FD_CLR(fd, set) ((set)->bits[(fd) / 64] &= ~(1ul << (fd) % 64))
#define FD_ISSET(fd, set) ((int)((set)->bits[(fd) / 64] >> (fd) % 64 & 1))

int select(int count, fd_set *readable, fd_set *writable, fd_set *special, struct timeval *limit);

#endif
