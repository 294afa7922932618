/* The life of a process: fork, exec, wait, exit. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syscall.h"

/* Only the calling thread exists in the child. The buffer of stdout is copied too. stdout writes
 * at every newline, so the buffer holds at most a part of a line. */
pid_t fork(void) { return (pid_t)CALL(fork); }

int execve(const char *path, char *const argv[], char *const envp[]) {
    return (int)CALL(execve, path, argv, envp);
}

int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }

/* Try one folder of PATH after another. If a folder has the file but we may not run it, the search
 * goes on, and that error is reported at the end. */
int execvp(const char *name, char *const argv[]) {
    if (strchr(name, '/')) return execv(name, argv);
    const char *folders = getenv("PATH");
    int reason = ENOENT;
    for (const char *at = folders ? folders : "/bin"; *name;) {
        size_t length = strcspn(at, ":");
        char path[4096];
        snprintf(path, sizeof path, "%.*s%s%s", (int)length, at, length ? "/" : "", name);
        execv(path, argv);
        if (errno == EACCES)
            reason = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return -1;
        at += length;
        if (!*at++) break;
    }
    errno = reason;
    return -1;
}

pid_t waitpid(pid_t pid, int *status, int options) {
    return (pid_t)CALL(wait4, pid, status, options, NULL);
}

pid_t wait(int *status) { return waitpid(-1, status, 0); }

_Noreturn void _exit(int status) {
    for (;;) CALL_RAW(exit_group, status);
}

_Noreturn void _Exit(int status) { _exit(status); }

static void (*at_exit[32])(void);
static int at_exit_count;

int atexit(void (*function)(void)) {
    if (at_exit_count == sizeof at_exit / sizeof *at_exit) return -1;
    at_exit[at_exit_count++] = function;
    return 0;
}

_Noreturn void exit(int status) {
    while (at_exit_count > 0) at_exit[--at_exit_count]();
    fflush(NULL);
    _exit(status);
}

_Noreturn void abort(void) {
    raise(SIGABRT);
    signal(SIGABRT, SIG_DFL); /* a handler of SIGABRT returned */
    raise(SIGABRT);
    _exit(127);
}
