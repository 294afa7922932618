/* faults: everything that a ring-3 program must not do. `faults KIND` does one of these things.
 * `faults` alone does each in a child and prints the signal that ended it. Then it shows three ways
 * to survive: repair the page, change the registers, handle a stack overflow on another stack.
 * Shows: the traps, and that none of them harms the system. */

#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void (*volatile no_function)(void);
static volatile char *volatile no_bytes;
static volatile int zero, one = 1;
static const char constant[16] = "constant";
static unsigned char return_instruction[16] = {0xc3};

static void jump_to(const void *address) { ((void (*)(void))(uintptr_t)address)(); }

static void store(const void *address) { *(volatile char *)(uintptr_t)address = 1; }

/* ---- Memory: page faults, and addresses that are not addresses ----------------------- */

static void null_read(void) { (void)*no_bytes; }
static void null_write(void) { *no_bytes = 1; }
static void null_jump(void) { no_function(); }
static void write_code(void) { store((void *)null_read); }
static void write_constant(void) { store(constant); }
static void execute_data(void) { jump_to(return_instruction); }
static void execute_stack(void) {
    volatile unsigned char code[16] = {0xc3};
    jump_to((void *)code);
}
static void kernel_half(void) { store((void *)0xffff800000000000); }

/* Bits 48 to 63 must repeat bit 47. Otherwise it is #GP, which reports no address. (SDM vol. 1,
 * 3.3.7.1) */
static void non_canonical(void) { store((void *)0x0000800000000000); }

static int overflow(volatile int depth) {
    volatile char frame[256];
    frame[0] = (char)depth;
    return depth < 0 ? 0 : overflow(depth + 1) + frame[0]; /* used afterwards, so no tail call */
}
static void stack_overflow(void) { overflow(0); }

/* ---- Arithmetic and debugging --------------------------------------------------------- */

static void divide_error(void) { one = one / zero; }
static void misaligned_sse(void) {
    __asm__ volatile("movaps (%0), %%xmm0" : : "r"(return_instruction + 1) : "xmm0");
}
static void breakpoint(void) { __asm__ volatile("int3"); }
static void undefined(void) { __asm__ volatile("ud2"); }

/* ---- Instructions for ring 0 only: #GP (SDM vol. 3A, 5.9) ------------------------------ */

static uint64_t descriptor_table[2];

static void cli(void) { __asm__ volatile("cli"); }
static void hlt(void) { __asm__ volatile("hlt"); }
static void in(void) { __asm__ volatile("inb $0x60, %%al" : : : "al"); }
static void out(void) { __asm__ volatile("outb %%al, $0x80" : : : "memory"); }
static void mov_cr3(void) { __asm__ volatile("mov %0, %%cr3" : : "r"(0ul) : "memory"); }
static void rdmsr(void) { __asm__ volatile("rdmsr" : : "c"(0xc0000080) : "eax", "edx"); }
static void wrmsr(void) { __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(0), "d"(0)); }
static void lgdt(void) { __asm__ volatile("lgdt %0" : : "m"(descriptor_table)); }
static void invlpg(void) { __asm__ volatile("invlpg %0" : : "m"(descriptor_table)); }

/* Return "to the kernel": the frame asks for code selector 0x10, which is one of ring 0. */
static void iretq(void) {
    __asm__ volatile("mov %%rsp, %%rax\n"
                     "push $0x18\n"
                     "push %%rax\n"
                     "pushfq\n"
                     "push $0x10\n"
                     "lea 1f(%%rip), %%rax\n"
                     "push %%rax\n"
                     "iretq\n"
                     "1:"
                     :
                     :
                     : "rax", "memory");
}
static void sysretq(void) { __asm__ volatile("sysretq" : : "c"(null_read) : "r11", "memory"); }

/* Not for ring 0 only, but the kernel decides: it may close the gate of 32-bit Linux. */
static void int_80(void) {
    long result = 20; /* getpid, in 32-bit Linux */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}
static void rdtsc(void) { __asm__ volatile("rdtsc" : : : "eax", "edx"); }

static const struct kind {
    const char *name;
    void (*act)(void);
} kinds[] = {
    {"null-read", null_read},
    {"null-write", null_write},
    {"null-jump", null_jump},
    {"write-code", write_code},
    {"write-constant", write_constant},
    {"execute-data", execute_data},
    {"execute-stack", execute_stack},
    {"kernel-half", kernel_half},
    {"non-canonical", non_canonical},
    {"stack-overflow", stack_overflow},
    {"divide-error", divide_error},
    {"misaligned-sse", misaligned_sse},
    {"int3", breakpoint},
    {"ud2", undefined},
    {"cli", cli},
    {"hlt", hlt},
    {"in", in},
    {"out", out},
    {"mov-cr3", mov_cr3},
    {"rdmsr", rdmsr},
    {"wrmsr", wrmsr},
    {"lgdt", lgdt},
    {"invlpg", invlpg},
    {"iretq", iretq},
    {"sysretq", sysretq},
    {"int-80", int_80},
    {"rdtsc", rdtsc},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- Surviving ------------------------------------------------------------------------- */

static char *closed_page;

static void open_the_page(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    printf("  handler: byte %ld of the page, %s\n", (long)((char *)info->si_addr - closed_page),
           info->si_code == SEGV_ACCERR ? "ACCERR: mapped, but not like that"
                                        : "not the code expected");
    mprotect(closed_page, PAGE, PROT_READ | PROT_WRITE);
}

static void on_segv(void (*handler)(int, siginfo_t *, void *), unsigned long flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    if (sigaction(SIGSEGV, &action, NULL) < 0) err(1, "sigaction");
}

/* The instruction that faulted runs again when the handler returns, and now succeeds. */
static void repair_the_page(void) {
    closed_page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (closed_page == MAP_FAILED) err(1, "mmap");
    on_segv(open_the_page, 0);
    closed_page[100] = 'x';
    printf("  the store went through: %c\n", closed_page[100]);
}

enum { LOAD_BYTES = 3 }; /* of `movzbl (%rdi), %eax` */

static void skip_the_load(int signal, siginfo_t *info, void *context) {
    int64_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal;
    printf("  handler: address %p, %s\n", info->si_addr,
           info->si_code == SEGV_MAPERR ? "MAPERR: nothing mapped there" : "not the code expected");
    registers[REG_RAX] = '?';
    registers[REG_RIP] += LOAD_BYTES;
}

static void step_over_the_load(void) {
    int value;
    on_segv(skip_the_load, 0);
    __asm__ volatile("movzbl (%%rdi), %%eax" : "=a"(value) : "D"(0x1234));
    printf("  the load was skipped, its value is %c\n", value);
}

static void say_and_end(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    printf("  handler: on the other stack\n");
    exit(0);
}

/* Without its own stack the handler would have no room either. */
static void handle_stack_overflow(void) {
    stack_t other = {.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ};
    if (!other.ss_sp || sigaltstack(&other, NULL) < 0) err(1, "sigaltstack");
    on_segv(say_and_end, SA_ONSTACK);
    stack_overflow();
}

/* ---- One child each -------------------------------------------------------------------- */

static int status_of_child(void (*act)(void)) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) {
        act();
        exit(0);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid) err(1, "waitpid");
    return status;
}

static void try(const char *name, void (*act)(void)) {
    int status = status_of_child(act);
    const char *end = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    printf("%-16s %s%s\n", name, end ? "SIG" : "goes on", end ? end : "");
}

static void survive(const char *title, void (*act)(void)) {
    printf("%s\n", title);
    if (status_of_child(act) != 0) errx(1, "did not survive");
}

int main(int argc, char **argv) {
    for (int i = 0; i < KINDS; i++)
        if (argc < 2)
            try(kinds[i].name, kinds[i].act);
        else if (strcmp(argv[1], kinds[i].name) == 0)
            return kinds[i].act(), 0;
    if (argc > 1) errx(2, "no such kind; run `faults` alone to see all");

    survive("repairing the page", repair_the_page);
    survive("stepping over the instruction", step_over_the_load);
    survive("handling a stack overflow", handle_stack_overflow);
    return 0;
}
