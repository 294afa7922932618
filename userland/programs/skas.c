/* skas: a small kernel in user space. Each guest runs in a VAS of its own, attached bare, where it
 * sees its own memory and nothing else. Its system calls, its faults and the timer are signals; the
 * signal stack is at home, so each of them leads out of the guest and into this kernel, and the
 * return of the handler leads into whichever guest is next. Shows: guests that are time-sliced and
 * cannot touch each other or the kernel, without ptrace, as user-mode Linux had it with SKAS.
 *
 *     skas               four guests
 *     skas switch [N]    two guests that give way N times: what a switch costs */

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, GUESTS = 4, SLICE_US = 100, FPU_BYTES = 512, LINE = 256 };
enum { PUT = 1, YIELD, EXIT, WHO }; /* a guest's calls, by the number in rax */
static char *const guest_at = (char *)0x500000000000; /* code, data, stack: a page each */

/* ---- The guests -----------------------------------------------------------------------
 * Position-independent code that is copied into each guest's VAS. rdi has an argument. */

extern const char guests_begin[], guests_end[], works[], intrudes[], escapes[], gives_way[];

__asm__("guests_begin:\n"
        "works:\n" /* puts its letter, which it keeps in its memory; rdi times */
        "    mov %edi, %ebp\n"
        "    movabs $0x500000001000, %r12\n"
        "    mov $4, %eax\n"
        "    syscall\n"
        "    add $96, %eax\n" /* 'a' for the first */
        "    mov %al, (%r12)\n"
        "1:  movzbl (%r12), %edi\n"
        "    push %rdi\n"
        "    pop %rdi\n"
        "    mov $1, %eax\n"
        "    syscall\n"
        "    mov $20000, %ecx\n"
        "2:  dec %ecx\n"
        "    jnz 2b\n"
        "    dec %ebp\n"
        "    jnz 1b\n"
        "    jmp 9f\n"
        "intrudes:\n" /* into memory of the kernel, at rdi */
        "    movb $0, (%rdi)\n"
        "    jmp 9f\n"
        "escapes:\n" /* tries to switch home, and puts a dot if that is refused */
        "    xor %edi, %edi\n"
        "    mov $1337, %eax\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jns 9f\n"
        "    mov $46, %edi\n"
        "    mov $1, %eax\n"
        "    syscall\n"
        "    jmp 9f\n"
        "gives_way:\n" /* rdi times */
        "    mov %edi, %ebp\n"
        "3:  mov $2, %eax\n"
        "    syscall\n"
        "    dec %ebp\n"
        "    jnz 3b\n"
        "9:  xor %edi, %edi\n"
        "    mov $3, %eax\n"
        "    syscall\n"
        "guests_end:\n");

struct context { /* what a handler's return restores */
    int64_t gregs[NGREG];
    char fpu[FPU_BYTES];
};

static struct guest {
    struct context context;
    int vid, alive;
} guests[GUESTS];
static struct context kernel_context;
static int running = -1; /* the guest that has the processor; none: -1 */
static long switches;
static char line[LINE];

static void create(int number, const char *start, long argument) {
    struct guest *guest = &guests[number];
    char name[16];
    snprintf(name, sizeof name, "guest %d", number + 1);
    if ((guest->vid = vas_create(name, 0600)) < 0) err(1, "cannot create %s", name);
    if (vas_attach(0, guest->vid, O_RDWR) < 0 || vas_switch(guest->vid) < 0) err(1, "to fill it");
    if (mmap(guest_at, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED)
        err(1, "no memory for %s", name);
    memcpy(guest_at, guests_begin, (size_t)(guests_end - guests_begin));
    mprotect(guest_at, PAGE, PROT_READ | PROT_EXEC);
    if (vas_switch(0) < 0 || vas_detach(0, guest->vid) < 0) err(1, "cannot leave it");
    if (vas_attach_bare(0, guest->vid, O_RDWR | VAS_SIGSYS) < 0) err(1, "cannot attach it");
    guest->alive = 1;
    guest->context.gregs[REG_RIP] = (long)guest_at + (start - guests_begin);
    guest->context.gregs[REG_RSP] = (long)guest_at + 3 * PAGE;
    guest->context.gregs[REG_RDI] = argument;
}

/* ---- The kernel -----------------------------------------------------------------------
 * It runs in the handler only, with all signals blocked. */

static void save(struct context *to, const ucontext_t *from) {
    memcpy(to->gregs, from->uc_mcontext.gregs, sizeof to->gregs);
    memcpy(to->fpu, from->uc_mcontext.fpregs, FPU_BYTES);
}

static void load(ucontext_t *to, const struct context *from, int vid) {
    struct vas_place *place = (struct vas_place *)to->uc_mcontext.reserved;
    memcpy(to->uc_mcontext.gregs, from->gregs, sizeof from->gregs);
    memcpy(to->uc_mcontext.fpregs, from->fpu, FPU_BYTES);
    place->vid = (unsigned long)vid;
    place->space = 0;
}

static void slices(long microseconds) {
    const struct itimerval every = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &every, NULL);
}

static void schedule(void) {
    int before = running;
    for (int i = 1; i <= GUESTS; i++) {
        running = (before + i + GUESTS) % GUESTS;
        if (guests[running].alive) {
            switches += running != before;
            return;
        }
    }
    running = -1;
}

static void end(const char *how, long value) {
    printf("guest %d %s %#lx\n", running + 1, how, value);
    guests[running].alive = 0;
    schedule();
}

static void call(int64_t *gregs) {
    size_t length = strlen(line);
    switch (gregs[REG_RAX]) {
    case PUT:
        if (length < LINE - 1) line[length] = (char)gregs[REG_RDI];
        gregs[REG_RAX] = 0;
        break;
    case WHO: gregs[REG_RAX] = running + 1; break;
    case YIELD: gregs[REG_RAX] = 0, schedule(); break;
    case EXIT: end("ends with", gregs[REG_RDI]); break;
    default: gregs[REG_RAX] = -ENOSYS;
    }
}

static void trap(int signal, siginfo_t *info, void *frame) {
    ucontext_t *context = frame;
    if (signal == SIGUSR1) { /* the kernel has started, and gives the processor away */
        save(&kernel_context, context);
        slices(SLICE_US);
        schedule();
    } else if (running < 0) { /* a timer that came late, or a fault of the kernel's own */
        if (signal != SIGALRM) _exit(2);
        return;
    } else {
        save(&guests[running].context, context);
        if (signal == SIGSYS)
            call(guests[running].context.gregs);
        else if (signal == SIGALRM)
            schedule();
        else
            end("may not touch", (long)info->si_addr);
    }
    if (running < 0) slices(0);
    if (running < 0)
        load(context, &kernel_context, 0);
    else
        load(context, &guests[running].context, guests[running].vid);
}

/* A context to begin with: what the FPU holds, and the segments, are the kernel's. */
static void begin(int signal, siginfo_t *info, void *frame) {
    struct context first;
    (void)signal, (void)info;
    save(&first, frame);
    for (int i = 0; i < GUESTS; i++) {
        memcpy(guests[i].context.fpu, first.fpu, FPU_BYTES);
        guests[i].context.gregs[REG_CSGSFS] = first.gregs[REG_CSGSFS];
        guests[i].context.gregs[REG_EFL] = 0x202;
    }
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    if (sigaction(signal, &action, NULL) < 0) err(1, "sigaction");
}

static void boot(void) {
    static char stack[SIGSTKSZ];
    const struct vas_stack at_home = {.sp = stack, .vid = 0, .size = sizeof stack};
    static const int traps[] = {SIGUSR1, SIGALRM, SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    if (vas_sigaltstack(&at_home, NULL) < 0) err(1, "no signal stack");
    handle(SIGUSR1, begin);
    raise(SIGUSR1);
    for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) handle(traps[i], trap);
}

static void delete_guests(void) {
    for (int i = 0; i < GUESTS; i++)
        if (guests[i].vid && (vas_detach(0, guests[i].vid) < 0 || vas_delete(guests[i].vid) < 0))
            err(1, "cannot delete guest %d", i + 1);
}

static long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv) {
    vantage_required();
    int measures = argc > 1 && strcmp(argv[1], "switch") == 0;
    long rounds = measures ? argc > 2 ? atol(argv[2]) : 1000 : 12;
    if (rounds <= 0 || (argc > 1 && !measures)) errx(2, "usage: skas [switch [N]]");
    if (measures) {
        create(0, gives_way, rounds);
        create(1, gives_way, rounds);
    } else {
        create(0, works, rounds);
        create(1, intrudes, (long)guests);
        create(2, works, rounds);
        create(3, escapes, 0);
    }
    boot();
    long before = nanoseconds();
    raise(SIGUSR1); /* comes back when no guest is alive */
    long taken = nanoseconds() - before;
    if (measures)
        printf("%ld switches from guest to guest, %ld modelled ns each\n", switches,
               taken / switches);
    else
        printf("%s\n", line);
    delete_guests();
    return 0;
}
