/* A guarded action: TRY(name, code) runs it and prints the signal that ended it, if one did, with
 * what the handler was told.  The same program prints it on a processor and on Vantage. */
#ifndef TRY_H
#define TRY_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef uint64_t u64;
typedef uint32_t u32;

static sigjmp_buf again;
static volatile int signalled, code;
static volatile u64 trap, place, at;
static char other_stack[1 << 16] __attribute__((aligned(64)));

static void handler(int number, siginfo_t *info, void *context) {
    asm volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "cc", "memory");
    ucontext_t *user = context;
    signalled = number, code = info->si_code, place = (u64)info->si_addr;
    trap = user->uc_mcontext.gregs[REG_TRAPNO];
    at = user->uc_mcontext.gregs[REG_RIP];
    siglongjmp(again, 1);
}

static inline void guard(void) {
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    action.sa_sigaction = handler;
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

static inline const char *name_of(int number) {
    switch (number) {
    case 0: return "nothing";
    case SIGSEGV: return "SEGV";
    case SIGBUS: return "BUS";
    case SIGILL: return "ILL";
    case SIGFPE: return "FPE";
    default: return "TRAP";
    }
}

/* Print the signal's address too only where it is one that both machines share. */
#define TRY(name, ...)                                                                           \
    do {                                                                                         \
        signalled = 0, trap = 0, code = 0, place = 0;                                            \
        if (!sigsetjmp(again, 1)) {                                                              \
            __VA_ARGS__;                                                                         \
        }                                                                                        \
        printf("%s: %s code %x trap %lu%s\n", name, name_of(signalled), code, trap,              \
               signalled && place == at ? " at itself" : "");                                    \
        fflush(stdout);                                                                          \
    } while (0)

#endif
