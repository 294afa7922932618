/* Signals: numbers, handlers, masks. Layouts are those of the Linux kernel on x86-64. */
#ifndef SIGNAL_H
#define SIGNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGSTKFLT 16
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGXCPU 24
#define SIGXFSZ 25
#define SIGVTALRM 26
#define SIGPROF 27
#define SIGWINCH 28
#define SIGIO 29
#define SIGPWR 30
#define SIGSYS 31
#define NSIG 65

typedef int sig_atomic_t;
typedef uint64_t sigset_t; /* bit n-1 stands for signal n */
typedef void (*sighandler_t)(int);

#define SIG_DFL ((sighandler_t)0)
#define SIG_IGN ((sighandler_t)1)
#define SIG_ERR ((sighandler_t)(-1))

/* ---- The arguments of a handler ------------------------------------------------------ */

union sigval {
    int sival_int;
    void *sival_ptr;
};

typedef struct {
    int si_signo, si_errno, si_code, si_padding;
    union {
        struct { /* sent by kill(), and SIGCHLD */
            pid_t si_pid;
            uid_t si_uid;
            union {
                int si_status;
                union sigval si_value;
            };
        };
        void *si_addr; /* SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP */
        char si_room[112];
    };
} siginfo_t;

enum { SI_USER = 0, SI_TKILL = -6, SI_KERNEL = 0x80 };
enum { SEGV_MAPERR = 1, SEGV_ACCERR = 2 }; /* si_code: not mapped / not allowed */
enum { BUS_ADRALN = 1, BUS_ADRERR = 2 };   /* si_code: not aligned / behind the end of a file */
enum { CLD_EXITED = 1, CLD_KILLED = 2, CLD_DUMPED = 3 };
enum { FPE_INTDIV = 1 };

typedef struct {
    void *ss_sp;
    int ss_flags;
    size_t ss_size;
} stack_t;

enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define MINSIGSTKSZ 2048
#define SIGSTKSZ 16384

/* The registers at the moment of the signal; a handler may change them. */
/* clang-format off */
enum {
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    REG_RDI, REG_RSI, REG_RBP, REG_RBX, REG_RDX, REG_RAX, REG_RCX, REG_RSP,
    REG_RIP, REG_EFL, REG_CSGSFS, REG_ERR, REG_TRAPNO, REG_OLDMASK, REG_CR2, NGREG,
};
/* clang-format on */

typedef struct {
    int64_t gregs[NGREG];
    void *fpregs;
    uint64_t reserved[8];
} mcontext_t;

typedef struct ucontext {
    unsigned long uc_flags;
    struct ucontext *uc_link;
    stack_t uc_stack;
    mcontext_t uc_mcontext;
    sigset_t uc_sigmask;
} ucontext_t;

/* ---- Calls --------------------------------------------------------------------------- */

struct sigaction {
    union {
        sighandler_t sa_handler;
        void (*sa_sigaction)(int, siginfo_t *, void *context);
    };
    unsigned long sa_flags;
    void (*sa_restorer)(void); /* filled in by the library */
    sigset_t sa_mask;          /* blocked, besides the signal itself, while the handler runs */
};

#define SA_NOCLDSTOP 0x00000001
#define SA_SIGINFO 0x00000004
#define SA_RESTORER 0x04000000
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000

enum { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };

sighandler_t signal(int signal, sighandler_t handler);
int sigaction(int signal, const struct sigaction *now, struct sigaction *old);
int sigprocmask(int how, const sigset_t *set, sigset_t *old);
int sigsuspend(const sigset_t *set);
int sigpending(sigset_t *set);
int sigaltstack(const stack_t *now, stack_t *old);
int kill(pid_t pid, int signal);
int tgkill(pid_t pid, pid_t tid, int signal);
int raise(int signal);

int sigemptyset(sigset_t *set);
int sigfillset(sigset_t *set);
int sigaddset(sigset_t *set, int signal);
int sigdelset(sigset_t *set, int signal);
int sigismember(const sigset_t *set, int signal);

#endif
