/* vas_trampoline: a VAS that shows nothing of the process. The program maps one page of code in
 * both, its trampoline, and a stack and a counter inside. Shows: that is all a bare attachment
 * needs; what is not there cannot be read; and who forgets the stack dies at the next push. */

#include <err.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096 };
static char *const code = (char *)0x500000000000;    /* the page that both show */
static char *const inside = (char *)0x600000000000;  /* a counter, and behind it the stack */
static int vid;

/* ---- The trampoline -------------------------------------------------------------------
 * long cross(int vid, void *stack, long (*function)(long), long argument): switches in, calls the
 * function on the stack inside, and comes back. Without a stack it keeps the one that it has, which
 * is not there. `count` and `read` are two functions; they lie in the same page. */

extern const char cross_code[], count_code[], read_code[], code_end[];

__asm__("cross_code:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    push %r13\n"
        "    mov %rsp, %rbp\n"
        "    mov %rsi, %r12\n"
        "    mov %rdx, %rbx\n"
        "    mov %rcx, %r13\n"
        "    mov $1337, %eax\n" /* vas_switch(vid) */
        "    syscall\n"
        "    test %r12, %r12\n"
        "    cmovnz %r12, %rsp\n"
        "    mov %r13, %rdi\n"
        "    call *%rbx\n"
        "    mov %rax, %r12\n"
        "    mov %rbp, %rsp\n"
        "    xor %edi, %edi\n"
        "    mov $1337, %eax\n" /* vas_switch(0) */
        "    syscall\n"
        "    mov %r12, %rax\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        "count_code:\n" /* adds the argument to the counter, and returns it */
        "    movabs $0x600000000000, %rdx\n"
        "    push %rdi\n"
        "    pop %rax\n"
        "    add (%rdx), %rax\n"
        "    mov %rax, (%rdx)\n"
        "    ret\n"
        "read_code:\n" /* the byte at the argument */
        "    movzbl (%rdi), %eax\n"
        "    ret\n"
        "code_end:\n");

typedef long function(long);
typedef long crossing(int vid, void *stack, function *, long argument);

static void *in_page(const char *start) { return code + (start - cross_code); }

static long cross(void *stack, const char *start, long argument) {
    return ((crossing *)in_page(cross_code))(vid, stack, (function *)in_page(start), argument);
}

static void map(void *at, int prot, int flags, int fd) {
    if (mmap(at, PAGE, prot, flags | MAP_FIXED, fd, 0) == MAP_FAILED) err(1, "cannot map");
}

/* To map something inside, the program goes there once by a view that shows the process too. */
static void set_up(void) {
    int fd = memfd_create("trampoline", 0);
    size_t size = (size_t)(code_end - cross_code);
    if (fd < 0 || write(fd, cross_code, size) != (ssize_t)size) err(1, "no trampoline");
    if ((vid = vas_create("alone", 0600)) < 0) err(1, "cannot create a VAS");
    if (vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) err(1, "cannot go inside");
    map(code, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    map(inside, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    map(inside + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    *(long *)inside = 0; /* touched now, or under the policy rfc each process had its own */
    if (vas_switch(0) < 0 || vas_detach(0, vid) < 0) err(1, "cannot leave");
    map(code, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    close(fd);
    if (vas_attach_bare(0, vid, O_RDWR) < 0) err(1, "cannot attach it bare");
}

/* A child has nothing attached, so the VAS is its own to attach; the program gives it up first. */
static void try(const char *what, void *stack, const char *start, long argument) {
    if (vas_detach(0, vid) < 0) err(1, "cannot detach");
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        if (vas_attach_bare(0, vid, O_RDWR) < 0) err(1, "cannot attach it bare");
        printf("%s: %ld\n", what, cross(stack, start, argument));
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: signal %d\n", what, WTERMSIG(status));
    fflush(stdout);
    if (vas_attach_bare(0, vid, O_RDWR) < 0) err(1, "cannot attach it bare");
}

int main(void) {
    static char mine = 'm';
    char *stack = inside + 2 * PAGE;
    vantage_required();
    set_up();
    printf("counts inside: %ld\n", cross(stack, count_code, 40));
    printf("and again: %ld\n", cross(stack, count_code, 2));
    fflush(stdout);
    try("another process counts on", stack, count_code, 1);
    try("reads what is the process's", stack, read_code, (long)&mine);
    try("forgets the stack", NULL, count_code, 1);
    printf("counts inside: %ld\n", cross(stack, count_code, 0));
    return 0;
}
