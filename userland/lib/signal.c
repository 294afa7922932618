/* Signals. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "syscall.h"

/* A handler returns to here, with rsp at the frame that the kernel built. The call restores every
 * register from the frame, so it never returns. */
void signal_return(void) __attribute__((visibility("hidden")));
__asm__(".globl signal_return\n"
        ".hidden signal_return\n"
        ".type signal_return, @function\n"
        "signal_return:\n"
        "    mov $15, %eax\n" /* SYS_rt_sigreturn */
        "    syscall\n"
        "    ud2\n"
        ".size signal_return, . - signal_return\n");

int sigaction(int signal, const struct sigaction *new, struct sigaction *old) {
    struct sigaction action;
    if (new) {
        action = *new;
        action.sa_flags |= SA_RESTORER;
        action.sa_restorer = signal_return;
    }
    return (int)CALL(rt_sigaction, signal, new ? &action : NULL, old, sizeof(sigset_t));
}

sighandler_t signal(int signal, sighandler_t handler) {
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(signal, &new, &old) < 0 ? SIG_ERR : old.sa_handler;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return (int)CALL(rt_sigprocmask, how, set, old, sizeof(sigset_t));
}

int sigsuspend(const sigset_t *set) { return (int)CALL(rt_sigsuspend, set, sizeof(sigset_t)); }
int sigpending(sigset_t *set) { return (int)CALL(rt_sigpending, set, sizeof(sigset_t)); }
int sigaltstack(const stack_t *new, stack_t *old) { return (int)CALL(sigaltstack, new, old); }
int kill(pid_t pid, int signal) { return (int)CALL(kill, pid, signal); }
int tgkill(pid_t pid, pid_t tid, int signal) { return (int)CALL(tgkill, pid, tid, signal); }
int raise(int signal) { return tgkill(getpid(), gettid(), signal); }

/* ---- Sets ---------------------------------------------------------------------------- */

static sigset_t bit_of(int signal) { return 1ull << (signal - 1); }

int sigemptyset(sigset_t *set) { return *set = 0, 0; }
int sigfillset(sigset_t *set) { return *set = ~0ull, 0; }
int sigaddset(sigset_t *set, int signal) { return *set |= bit_of(signal), 0; }
int sigdelset(sigset_t *set, int signal) { return *set &= ~bit_of(signal), 0; }
int sigismember(const sigset_t *set, int signal) { return (*set & bit_of(signal)) != 0; }

/* ---- Names --------------------------------------------------------------------------- */

const char *sigabbrev_np(int signal) {
    static const char names[][8] = {
        "",     "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
        "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS",
    };
    return signal > 0 && signal <= SIGSYS ? names[signal] : NULL;
}

const char *sigdescr_np(int signal) {
    static const char texts[][26] = {
        "",
        "Hangup",
        "Interrupt",
        "Quit",
        "Illegal instruction",
        "Trace/breakpoint trap",
        "Aborted",
        "Bus error",
        "Floating point exception",
        "Killed",
        "User defined signal 1",
        "Segmentation fault",
        "User defined signal 2",
        "Broken pipe",
        "Alarm clock",
        "Terminated",
        "Stack fault",
        "Child exited",
        "Continued",
        "Stopped (signal)",
        "Stopped",
        "Stopped (tty input)",
        "Stopped (tty output)",
        "Urgent I/O condition",
        "CPU time limit exceeded",
        "File size limit exceeded",
        "Virtual timer expired",
        "Profiling timer expired",
        "Window changed",
        "I/O possible",
        "Power failure",
        "Bad system call",
    };
    return signal > 0 && signal <= SIGSYS ? texts[signal] : NULL;
}
