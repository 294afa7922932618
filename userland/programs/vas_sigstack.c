/* vas_sigstack: a fault handler whose stack and notes lie in a VAS, where the program has no way to
 * them but a switch. The signal switches in, and the handler's return switches back. Shows: faults
 * are noted where a stray store of the program cannot reach; signals nest there; siglongjmp leaves
 * the registers and not the view; what a frame says is checked when the handler returns. */

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, STACK_PAGES = 8, NOTES = 64 };

struct notes { /* at the beginning of the VAS's memory; the stack is behind */
    int count;
    void *where[NOTES];
};

static struct notes *const notes = (struct notes *)0x700000000000;
static void *const nowhere = (void *)0xdead000;
static int vid;
static jmp_buf back;
static volatile enum { SKIP, NEST, JUMP, END, FORGE } way;

/* One access by one instruction of two bytes, which the handler skips. */
static void poke(void *at) { __asm__ volatile("mov (%%rax), %%eax" : "+a"(at) : : "memory"); }

static void note_nested(int signal) {
    (void)signal;
    notes->where[notes->count++ % NOTES] = (void *)1;
}

/* What siglongjmp does: the mask, and then the registers. */
static void jump_back(void) {
    sigset_t segv;
    sigemptyset(&segv);
    sigaddset(&segv, SIGSEGV);
    sigprocmask(SIG_UNBLOCK, &segv, NULL);
    longjmp(back, 1);
}

static void handle(int signal, siginfo_t *info, void *context) {
    ucontext_t *found = context;
    (void)signal;
    notes->where[notes->count++ % NOTES] = info->si_addr;
    found->uc_mcontext.gregs[REG_RIP] += 2;
    if (way == NEST) raise(SIGUSR1);
    if (way == JUMP) jump_back();
    if (way == END) pthread_exit(NULL);
    if (way == FORGE) {
        struct vas_place *place = (struct vas_place *)found->uc_mcontext.reserved;
        place->vid = 999;
    }
}

static void register_stack(void) {
    const struct vas_stack stack = {
        .sp = (char *)notes + PAGE, .vid = vid, .size = STACK_PAGES * PAGE};
    if (vas_sigaltstack(&stack, NULL) < 0) err(1, "cannot register the stack");
}

static void attach(void) {
    if (vas_attach(0, vid, O_RDWR) < 0) err(1, "cannot attach");
    register_stack();
}

static void set_up(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = note_nested;
    sigaction(SIGUSR1, &action, NULL);
    if ((vid = vas_create("notes", 0600)) < 0) err(1, "cannot create a VAS");
    if (vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) err(1, "cannot go inside");
    if (mmap(notes, (1 + STACK_PAGES) * PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        err(1, "no memory");
    notes->count = 0;
    if (vas_switch(0) < 0) err(1, "cannot leave");
    register_stack();
}

/* What is noted is read inside; then the program is at home again. */
static void tell(const char *what) {
    int view = active_vas();
    if (vas_switch(vid) < 0) err(1, "cannot switch");
    int count = notes->count;
    void *last = count ? notes->where[(count - 1) % NOTES] : NULL;
    if (vas_switch(0) < 0) err(1, "cannot leave");
    printf("%s: in view %d; %d notes, the last %p\n", what, view, count, last);
    fflush(stdout);
}

static volatile pid_t tid;

static void *fault_and_end(void *unused) {
    register_stack();
    tid = gettid();
    poke(nowhere);
    return unused;
}

/* A child that may die. It has nothing attached, and so attaches the VAS; the program gives it up
 * meanwhile. */
static void try(const char *what, void (*body)(void)) {
    if (vas_detach(0, vid) < 0) err(1, "cannot detach");
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
    attach();
}

static void forge(void) {
    attach();
    way = FORGE;
    poke(nowhere);
}

static void detached(void) {
    attach();
    if (vas_detach(0, vid) < 0) err(1, "cannot detach");
    poke(nowhere);
}

static void deleted(void) {
    attach();
    if (vas_detach(0, vid) < 0 || vas_delete(vid) < 0) err(1, "cannot delete");
    if (vas_create("another", 0600) != vid || vas_attach(0, vid, O_RDWR) < 0) err(1, "another");
    poke(nowhere);
}

int main(void) {
    pthread_t thread;
    vantage_required();
    set_up();
    poke(nowhere);
    tell("a fault");
    poke(notes);
    tell("a stray access to the notes");
    way = NEST;
    poke(nowhere);
    tell("nested signals");
    way = JUMP;
    if (setjmp(back) == 0) poke(nowhere);
    tell("after siglongjmp");
    way = END;
    if (pthread_create(&thread, NULL, fault_and_end, NULL) != 0) errx(1, "no thread");
    pthread_detach(thread); /* under the policy rfc a join would wait for ever (its hole 10) */
    while (!tid || tgkill(getpid(), tid, 0) == 0) sched_yield();
    way = SKIP;
    tell("a thread that ended inside");
    try("a forged place", forge);
    try("the VAS is not attached any more", detached);
    poke(nowhere);
    tell("the program goes on");
    if (vas_detach(0, vid) < 0) err(1, "cannot detach");
    pid_t pid = fork();
    if (pid == 0) deleted(), _exit(0);
    int status;
    waitpid(pid, &status, 0);
    printf("another VAS has the id: signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return 0;
}
