/* Descriptors for processes: poll tells of the end, and a signal never meets another process. */
#ifndef SYS_PIDFD_H
#define SYS_PIDFD_H

#include <sys/types.h>

#define PIDFD_NONBLOCK 04000

int pidfd_open(pid_t pid, unsigned flags);
int pidfd_getfd(int process, int fd, unsigned flags);
int pidfd_send_signal(int process, int signal, void *info, unsigned flags);

#endif
