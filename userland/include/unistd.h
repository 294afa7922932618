/* Processes, descriptors, identities. */
#ifndef UNISTD_H
#define UNISTD_H

#include <getopt.h>
#include <stddef.h>
#include <sys/types.h>

#define STDIN_FILENO 0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2

extern char **environ;

ssize_t read(int fd, void *buffer, size_t bytes);
ssize_t write(int fd, const void *buffer, size_t bytes);
ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset);
off_t lseek(int fd, off_t offset, int whence);
int truncate(const char *path, off_t bytes);
int ftruncate(int fd, off_t bytes);
int close(int fd);
int dup(int fd);
int dup2(int from, int to);
int dup3(int from, int to, int flags);
int pipe(int ends[2]);
int pipe2(int ends[2], int flags);
int isatty(int fd);

/* ---- Names --------------------------------------------------------------------------- */

#define F_OK 0
#define X_OK 1
#define W_OK 2
#define R_OK 4

int access(const char *path, int wish);
int faccessat(int folder, const char *path, int wish, int flags);
int unlink(const char *path);
int unlinkat(int folder, const char *path, int flags);
int rmdir(const char *path);
int link(const char *from, const char *to);
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int symlink(const char *text, const char *path);
int symlinkat(const char *text, int folder, const char *path);
ssize_t readlink(const char *path, char *text, size_t bytes);
ssize_t readlinkat(int folder, const char *path, char *text, size_t bytes);
int chown(const char *path, uid_t uid, gid_t gid);
int lchown(const char *path, uid_t uid, gid_t gid);
int fchown(int fd, uid_t uid, gid_t gid);
int chdir(const char *path);
int fchdir(int fd);
char *getcwd(char *path, size_t bytes);

/* ---- Processes ----------------------------------------------------------------------- */

pid_t fork(void);
int execve(const char *path, char *const argv[], char *const envp[]);
int execv(const char *path, char *const argv[]);
int execvp(const char *name, char *const argv[]); /* looked for in PATH, unless it has a slash */
_Noreturn void _exit(int status);
pid_t getpid(void);
pid_t getppid(void);
pid_t gettid(void);

pid_t getpgid(pid_t pid);
pid_t getpgrp(void);
int setpgid(pid_t pid, pid_t group);
pid_t getsid(pid_t pid);
pid_t setsid(void);
pid_t tcgetpgrp(int fd);
int tcsetpgrp(int fd, pid_t group);

int brk(void *end);
void *sbrk(intptr_t change);

unsigned sleep(unsigned seconds);
int usleep(unsigned microseconds);
unsigned alarm(unsigned seconds);
int pause(void);

uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int setuid(uid_t uid);
int setreuid(uid_t real, uid_t effective);
int setregid(gid_t real, gid_t effective);
int setresuid(uid_t real, uid_t effective, uid_t saved);
int setresgid(gid_t real, gid_t effective, gid_t saved);
int setgid(gid_t gid);
int getgroups(int count, gid_t groups[]);
int setgroups(size_t count, const gid_t groups[]);

/* Any call by its number (see sys/syscall.h), with up to six arguments. */
long syscall(long number, ...);

#endif
