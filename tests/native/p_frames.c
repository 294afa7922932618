/* What a handler finds: its frame, its FPU, its alternate stack; and frames that cannot be. */
#include "p_native.h"
#include <sys/mman.h>
#include <ucontext.h>

static char stack[65536];
static volatile int flags, rounds, broken, missing;
static volatile unsigned mxcsr, top;
static volatile unsigned short control;

static void handler(int number, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    (void)info;
    rounds++;
    flags = user->uc_stack.ss_flags;
    if (number == SIGUSR2) user->uc_stack = (stack_t){.ss_sp = stack, .ss_size = sizeof stack};
}

static void listen(int number, int extra) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | extra};
    sigaction(number, &action, NULL);
}

static void say_stack(const char *when) {
    stack_t now;
    sigaltstack(NULL, &now);
    say("%s: flags %x, %s, %ld bytes\n", when, now.ss_flags, now.ss_sp == stack ? "ours" : "none",
        (long)now.ss_size);
}

static void reports(int number) {
    (void)number;
    say_stack("in the handler");
}

static void the_stack_of_a_context(void) {
    listen(SIGUSR1, SA_ONSTACK), listen(SIGUSR2, SA_ONSTACK);
    raise(SIGUSR1);
    say("none: %x\n", flags);
    raise(SIGUSR2);
    say_stack("set by a return");
    raise(SIGUSR1);
    say("one: %x\n", flags);
    stack_t off = {.ss_flags = SS_DISABLE};
    TRY(sigaltstack(&off, NULL));
    raise(SIGUSR1);
    say("off: %x\n", flags);
}

static void disarming(void) {
    stack_t wanted = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = 1u << 31};
    TRY(sigaltstack(&wanted, NULL));
    say_stack("armed");
    on(SIGUSR1, reports, SA_ONSTACK);
    raise(SIGUSR1);
    say_stack("armed again");
    on(SIGUSR1, reports, 0);
    raise(SIGUSR1);
    say_stack("and again");
    wanted.ss_flags = 1u << 31 | SS_ONSTACK;
    TRY(sigaltstack(&wanted, NULL));
    wanted.ss_flags = 4;
    TRY(sigaltstack(&wanted, NULL));
    wanted.ss_flags = 1u << 31 | SS_DISABLE;
    TRY(sigaltstack(&wanted, NULL));
    say_stack("off");
    wanted.ss_flags = 0, wanted.ss_size = 100;
    TRY(sigaltstack(&wanted, NULL));
    wanted.ss_size = sizeof stack;
    TRY(sigaltstack(&wanted, NULL));
    on(SIGUSR1, reports, SA_ONSTACK);
    raise(SIGUSR1);
}

static void look(int number) {
    unsigned m;
    unsigned short c, s;
    (void)number;
    __asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2" : "=m"(m), "=m"(c), "=m"(s));
    mxcsr = m, control = c, top = s >> 11 & 7;
}

static void a_fresh_fpu(void) {
    unsigned odd = 0x7f80, plain = 0x1f80;
    unsigned short word = 0xf7f;
    on(SIGUSR1, look, 0);
    __asm__ volatile("ldmxcsr %0; fninit; fldcw %1; fldpi; fldpi; syscall; fninit; ldmxcsr %2" ::"m"(
                         odd), "m"(word), "m"(plain), "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
                     : "rcx", "r11", "memory");
    say("fpu: %x %x %u\n", mxcsr, control, top);
}

static void no_frame(int number) {
    (void)number;
    missing++;
    signal(SIGUSR1, SIG_IGN);
}

static void frames_that_cannot_be(void) {
    char *wall = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t unwritable = {.ss_sp = wall, .ss_size = 65536};
    sigaltstack(&unwritable, NULL);
    on(SIGSEGV, no_frame, 0);
    listen(SIGUSR1, SA_ONSTACK);
    rounds = 0;
    raise(SIGUSR1);
    say("not written: SIGSEGV %d, SIGUSR1 %d\n", missing, rounds);
    stack_t small = {.ss_sp = stack, .ss_size = 2048};
    sigaltstack(&small, NULL);
    on(SIGSEGV, no_frame, SA_ONSTACK);
    if (fork() == 0) raise(SIGSEGV), _exit(0);
    int status;
    wait(&status);
    say("below the stack: %d\n", WTERMSIG(status) == SIGSEGV || missing > 1);
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
}

static char *safe;
static void bad_return(int number) {
    (void)number;
    broken++;
    if (broken > 1) _exit(7);
    __asm__ volatile("mov $16, %%rsp; mov $15, %%eax; syscall" ::: "memory");
}

static void a_return_to_nothing(void) {
    if (fork() == 0) {
        safe = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack_t other = {.ss_sp = safe, .ss_size = 65536};
        sigaltstack(&other, NULL);
        on(SIGUSR1, bad_return, 0), on(SIGSEGV, bad_return, SA_ONSTACK);
        raise(SIGUSR1);
        _exit(0);
    }
    int status;
    wait(&status);
    say("a bad frame to return by: exit %d\n", WEXITSTATUS(status));
}

static void once(void) {
    struct sigaction after;
    listen(SIGUSR2, SA_RESETHAND | SA_NODEFER);
    raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &after);
    say("once: default %d flags %x\n", after.sa_handler == SIG_DFL,
        after.sa_flags & (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER));
}

static void wide_numbers(void) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(1ul << 32 | SYS_getpid) : "rcx", "r11", "memory");
    say("bit 32 of rax: %d\n", result == getpid());
    __asm__ volatile("syscall" : "=a"(result) : "a"(0xffffffff) : "rcx", "r11", "memory");
    say("-1: %ld\n", result);
}

int main(void) {
    the_stack_of_a_context();
    disarming();
    a_fresh_fpu();
    frames_that_cannot_be();
    a_return_to_nothing();
    once();
    wide_numbers();
    return 0;
}
