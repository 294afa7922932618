/* System calls that need nothing from the library: one line each. */

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "syscall.h"

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
pid_t getpgid(pid_t pid) { return (pid_t)CALL(getpgid, pid); }
pid_t getpgrp(void) { return getpgid(0); }
int setpgid(pid_t pid, pid_t group) { return (int)CALL(setpgid, pid, group); }
pid_t getsid(pid_t pid) { return (pid_t)CALL(getsid, pid); }
pid_t setsid(void) { return (pid_t)CALL(setsid); }
int sched_yield(void) { return (int)CALL(sched_yield); }

uid_t getuid(void) { return (uid_t)CALL(getuid); }
uid_t geteuid(void) { return (uid_t)CALL(geteuid); }
gid_t getgid(void) { return (gid_t)CALL(getgid); }
gid_t getegid(void) { return (gid_t)CALL(getegid); }
int setuid(uid_t uid) { return (int)CALL(setuid, uid); }
int setgid(gid_t gid) { return (int)CALL(setgid, gid); }
int setreuid(uid_t real, uid_t effective) { return (int)CALL(setreuid, real, effective); }
int setregid(gid_t real, gid_t effective) { return (int)CALL(setregid, real, effective); }
int setresuid(uid_t real, uid_t effective, uid_t saved) {
    return (int)CALL(setresuid, real, effective, saved);
}
int setresgid(gid_t real, gid_t effective, gid_t saved) {
    return (int)CALL(setresgid, real, effective, saved);
}
int getgroups(int count, gid_t groups[]) { return (int)CALL(getgroups, count, groups); }
int setgroups(size_t count, const gid_t groups[]) { return (int)CALL(setgroups, count, groups); }

int getrlimit(int what, struct rlimit *limit) { return (int)CALL(getrlimit, what, limit); }
int setrlimit(int what, const struct rlimit *limit) { return (int)CALL(setrlimit, what, limit); }
int getrusage(int who, struct rusage *usage) { return (int)CALL(getrusage, who, usage); }

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

/* The kernel's brk returns the current break, and never an error. */
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
