/* Processes, descriptors, identities. */
#ifndef UNISTD_H
#define UNISTD_H

#include <stddef.h>
#include <sys/types.h>

#define STDIN_FILENO 0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2

extern char **environ;

ssize_t read(int fd, void *buffer, size_t bytes);
ssize_t write(int fd, const void *buffer, size_t bytes);
int close(int fd);
int dup(int fd);

pid_t fork(void);
int execve(const char *path, char *const argv[], char *const envp[]);
int execv(const char *path, char *const argv[]);
_Noreturn void _exit(int status);
pid_t getpid(void);
pid_t getppid(void);
pid_t gettid(void);

int brk(void *end);
void *sbrk(intptr_t change);

unsigned sleep(unsigned seconds);
int usleep(unsigned microseconds);

uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int setuid(uid_t uid);
int setgid(gid_t gid);
int getgroups(int count, gid_t groups[]);
int setgroups(size_t count, const gid_t groups[]);

/* Any call by its number (see sys/syscall.h), with up to six arguments. */
long syscall(long number, ...);

#endif
