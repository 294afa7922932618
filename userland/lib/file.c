/* Files by descriptor: opening, reading, attributes. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "syscall.h"

int openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return (int)CALL(openat, folder, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return (int)CALL(open, path, flags, mode);
}

int creat(const char *path, mode_t mode) { return (int)CALL(creat, path, mode); }
int close(int fd) { return (int)CALL(close, fd); }
ssize_t read(int fd, void *buffer, size_t bytes) { return CALL(read, fd, buffer, bytes); }
ssize_t write(int fd, const void *buffer, size_t bytes) { return CALL(write, fd, buffer, bytes); }
ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset) {
    return CALL(pread64, fd, buffer, bytes, offset);
}
ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset) {
    return CALL(pwrite64, fd, buffer, bytes, offset);
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
    return CALL(readv, fd, parts, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return CALL(writev, fd, parts, count);
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *ours, unsigned long our_count,
                         const struct iovec *theirs, unsigned long their_count,
                         unsigned long flags) {
    return CALL(process_vm_readv, pid, ours, our_count, theirs, their_count, flags);
}
ssize_t process_vm_writev(pid_t pid, const struct iovec *ours, unsigned long our_count,
                          const struct iovec *theirs, unsigned long their_count,
                          unsigned long flags) {
    return CALL(process_vm_writev, pid, ours, our_count, theirs, their_count, flags);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes) {
    return CALL(sendfile, to, from, offset, bytes);
}
off_t lseek(int fd, off_t offset, int whence) { return CALL(lseek, fd, offset, whence); }
int ftruncate(int fd, off_t bytes) { return (int)CALL(ftruncate, fd, bytes); }
int truncate(const char *path, off_t bytes) { return (int)CALL(truncate, path, bytes); }

int dup(int fd) { return (int)CALL(dup, fd); }
int dup2(int from, int to) { return (int)CALL(dup2, from, to); }
int dup3(int from, int to, int flags) { return (int)CALL(dup3, from, to, flags); }
int pipe(int ends[2]) { return (int)CALL(pipe, ends); }
int pipe2(int ends[2], int flags) { return (int)CALL(pipe2, ends, flags); }

int fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    long argument = va_arg(args, long);
    va_end(args);
    return (int)CALL(fcntl, fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list args;
    va_start(args, request);
    long argument = va_arg(args, long);
    va_end(args);
    return (int)CALL(ioctl, fd, request, argument);
}

/* ---- Attributes of a file ------------------------------------------------------------ */

int stat(const char *path, struct stat *out) { return (int)CALL(stat, path, out); }
int lstat(const char *path, struct stat *out) { return (int)CALL(lstat, path, out); }
int fstat(int fd, struct stat *out) { return (int)CALL(fstat, fd, out); }
int fstatat(int folder, const char *path, struct stat *out, int flags) {
    return (int)CALL(newfstatat, folder, path, out, flags);
}
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *out) {
    return (int)CALL(statx, folder, path, flags, mask, out);
}
int fchmod(int fd, mode_t mode) { return (int)CALL(fchmod, fd, mode); }
int fchown(int fd, uid_t uid, gid_t gid) { return (int)CALL(fchown, fd, uid, gid); }
int futimens(int fd, const struct timespec times[2]) {
    return (int)CALL(utimensat, fd, NULL, times, 0);
}

/* ---- Terminals ----------------------------------------------------------------------- */

int tcgetattr(int fd, struct termios *settings) { return ioctl(fd, TCGETS, settings); }
int tcsetattr(int fd, int when, const struct termios *settings) {
    return ioctl(fd, TCSETS + (unsigned)when, settings);
}

int isatty(int fd) {
    struct termios settings;
    return tcgetattr(fd, &settings) == 0;
}

pid_t tcgetpgrp(int fd) {
    pid_t group;
    return ioctl(fd, TIOCGPGRP, &group) < 0 ? -1 : group;
}

int tcsetpgrp(int fd, pid_t group) { return ioctl(fd, TIOCSPGRP, &group); }
