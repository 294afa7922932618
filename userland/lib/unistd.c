/* System calls that need nothing from the library: one line each. */

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "syscall.h"

ssize_t read(int fd, void *buffer, size_t bytes) { return CALL(read, fd, buffer, bytes); }
ssize_t write(int fd, const void *buffer, size_t bytes) { return CALL(write, fd, buffer, bytes); }
int close(int fd) { return (int)CALL(close, fd); }
int dup(int fd) { return (int)CALL(dup, fd); }

int mprotect(void *start, size_t bytes, int prot) {
    return (int)CALL(mprotect, start, bytes, prot);
}
int munmap(void *start, size_t bytes) { return (int)CALL(munmap, start, bytes); }
void *mmap(void *wish, size_t bytes, int prot, int flags, int fd, off_t offset) {
    return (void *)CALL(mmap, wish, bytes, prot, flags, fd, offset);
}

pid_t getpid(void) { return (pid_t)CALL(getpid); }
pid_t getppid(void) { return (pid_t)CALL(getppid); }
pid_t gettid(void) { return (pid_t)CALL(gettid); }
int sched_yield(void) { return (int)CALL(sched_yield); }

uid_t getuid(void) { return (uid_t)CALL(getuid); }
uid_t geteuid(void) { return (uid_t)CALL(geteuid); }
gid_t getgid(void) { return (gid_t)CALL(getgid); }
gid_t getegid(void) { return (gid_t)CALL(getegid); }
int setuid(uid_t uid) { return (int)CALL(setuid, uid); }
int setgid(gid_t gid) { return (int)CALL(setgid, gid); }
int getgroups(int count, gid_t groups[]) { return (int)CALL(getgroups, count, groups); }
int setgroups(size_t count, const gid_t groups[]) { return (int)CALL(setgroups, count, groups); }

int uname(struct utsname *out) { return (int)CALL(uname, out); }
ssize_t getrandom(void *buffer, size_t bytes, unsigned flags) {
    return CALL(getrandom, buffer, bytes, flags);
}

long syscall(long number, ...) {
    long argument[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) argument[i] = va_arg(args, long);
    va_end(args);
    return checked(syscall6(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                            argument[5]));
}

/* The kernel's brk answers with the break as it now stands, and never with an error. */
static char *current_break;

int brk(void *end) {
    current_break = (char *)CALL_RAW(brk, end);
    if (current_break == end) return 0;
    errno = ENOMEM;
    return -1;
}

void *sbrk(intptr_t change) {
    if (!current_break) current_break = (char *)CALL_RAW(brk, 0);
    char *old = current_break;
    if (change != 0 && brk(old + change) < 0) return (void *)-1;
    return old;
}
