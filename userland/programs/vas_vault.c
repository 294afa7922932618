/* vas_vault: a secret in a VAS, and four ways to get at it, each in a process of its own: a stray
 * read from outside; hijacked code that switches in by itself; the same against a registered entry;
 * and a process that attaches the VAS anew. Shows: what a compartment stops, and what a gate adds.
 *
 * Each prints what it got hold of, in hex, or a dash. A null_call stands after each. */

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { SECRET_BYTES = 8, PAGES = 3, PAGE = 4096 };
static char *const vault = (char *)0x500000000000; /* the secret, the gate's stack, the gate */
static int vid;

/* ---- The gate -------------------------------------------------------------------------
 * It lies in the vault, where nobody outside can rewrite it, and it trusts nothing of its caller's:
 * it has a stack in the vault, and calls nothing of the program. It tells whether a guess is right.
 * After its switch home its next instruction is not there, so the kernel lets its caller go on. */

char guess[SECRET_BYTES];
int right = -1;
extern const char gate_code[], gate_end[];

__asm__("gate_code:\n"
        "    movabs $0x500000002000, %rsp\n"
        "    push $0\n"
        "    movabs $0x500000000000, %rsi\n"
        "    movabs $guess, %rdi\n"
        "    mov $8, %ecx\n"
        "    cmp %ecx, %ecx\n"
        "    repe cmpsb\n"
        "    sete (%rsp)\n"
        "    pop %rax\n"
        "    movabs $right, %rdi\n"
        "    mov %eax, (%rdi)\n"
        "    xor %edi, %edi\n"
        "    mov $1337, %eax\n" /* vas_switch(0) */
        "    syscall\n"
        "gate_end:\n");

static char *gate(void) { return vault + 2 * PAGE; }

/* ---- The four ------------------------------------------------------------------------- */

static void tell(const char *found) {
    for (int i = 0; found && i < SECRET_BYTES; i++) printf("%02x", (unsigned char)found[i]);
    printf(found ? "\n" : "-\n");
}

static void attach(void) {
    if (vas_attach(0, vid, O_RDWR) < 0) err(1, "cannot attach the vault");
}

/* What an overflow elsewhere in the program could do. */
static void stray_read(void) {
    attach();
    tell(vault);
}

/* What code could do that an attacker brought in. */
static void hijacked(void) {
    char found[SECRET_BYTES];
    if (vas_switch(vid) < 0) err(1, "cannot switch");
    int inside = active_vas() == vid;
    if (inside) memcpy(found, vault, SECRET_BYTES);
    vas_switch(0);
    tell(inside ? found : NULL);
}

static void switch_in(void) {
    attach();
    hijacked();
}

static void guard(void) {
    attach();
    if (vas_entry(vid, (void (*)(void))gate()) < 0) err(1, "cannot register the gate");
}

static void meet_the_gate(void) {
    guard();
    hijacked();
    if (right < 0) errx(1, "the gate was passed by");
}

/* A process of the owner's that never registered anything. It gives itself all rights first. */
static void attach_anew(void) {
    const struct vas_attr mine = {.mode = 0600, .user = getuid(), .group = getgid()};
    if (vas_setattr(vid, &mine) < 0) err(1, "cannot take the rights");
    attach();
    hijacked();
    if (right < 0) errx(1, "the gate was passed by");
}

static void try(void (*way)(void)) {
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        way();
        exit(0);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
    if (WIFSIGNALED(status)) tell(NULL);
    null_call();
}

/* The secret is made inside, so that it never was anywhere else. */
static void fill(void) {
    attach();
    if (vas_switch(vid) < 0) err(1, "cannot switch");
    if (mmap(vault, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED)
        err(1, "no memory for the vault");
    if (getrandom(vault, SECRET_BYTES, 0) != SECRET_BYTES) err(1, "no secret");
    memcpy(gate(), gate_code, (size_t)(gate_end - gate_code));
    if (mprotect(gate(), PAGE, PROT_READ | PROT_EXEC) < 0) err(1, "no gate");
    if (vas_switch(0) < 0 || vas_detach(0, vid) < 0) err(1, "cannot leave the vault");
}

int main(void) {
    vantage_required();
    if ((vid = vas_create("vault", 0600)) < 0) err(1, "cannot create a VAS");
    fill();
    null_call();
    try(stray_read);
    try(switch_in);
    try(meet_the_gate);
    try(attach_anew);
    if (vas_delete(vid) < 0) err(1, "cannot delete");
    return 0;
}
