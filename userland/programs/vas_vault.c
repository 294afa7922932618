/* vas_vault: a secret in a VAS, and four ways to get at it, each in a process of its own: a stray
 * read from outside; hijacked code that switches in by itself; the same against a registered entry;
 * and a fork that attaches the VAS anew. Shows: what a compartment stops and what it does not.
 *
 * Each prints what it got hold of, in hex, or a dash. A null_call stands after each. */

#include <err.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { SECRET_BYTES = 8, PAGES = 2, PAGE = 4096 };
static char *const vault = (char *)0x500000000000; /* the secret, and above it the gate's stack */
static int vid;

/* ---- The gate -------------------------------------------------------------------------
 * It trusts nothing of its caller's, not the stack either: it has one in the vault. It tells
 * whether a guess is right, and leaves by a stack that is there at home. */

char landing[4 * PAGE];
static char guess[SECRET_BYTES];
static int right = -1;
static jmp_buf back;

__attribute__((used)) static void serve(void) {
    right = memcmp(guess, vault, SECRET_BYTES) == 0;
}

__attribute__((used)) static void leave(void) { longjmp(back, 1); }

__attribute__((naked)) static void gate(void) {
    __asm__ volatile("movabs $0x500000002000, %rsp\n"
                     "call serve\n"
                     "lea landing+16384(%rip), %rsp\n"
                     "xor %edi, %edi\n"
                     "mov $1337, %eax\n" /* vas_switch(0) */
                     "syscall\n"
                     "call leave\n");
}

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
    memcpy(found, vault, SECRET_BYTES);
    vas_switch(0);
    tell(found);
}

static void switch_in(void) {
    attach();
    hijacked();
}

static void guard(void) {
    attach();
    if (vas_entry(vid, gate) < 0) err(1, "cannot register the gate");
}

static void meet_the_gate(void) {
    guard();
    if (setjmp(back) == 0) hijacked();
    if (right < 0) errx(1, "the gate was passed by");
    tell(NULL);
}

static void attach_anew(void) {
    guard();
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid) {
        waitpid(pid, NULL, 0);
        return;
    }
    if (vas_attach(0, vid, O_RDWR) < 0)
        tell(NULL);
    else
        hijacked();
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
