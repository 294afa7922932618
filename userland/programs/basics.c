/* basics: the operations that systems are compared by, ROUNDS times each: getpid, pipe, fork,
 * exec, sbrk. Shows: what a call, a switch, a process and a page cost (run.py bench linux). */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 1000 };

static char *self;

static void one_getpid(void) { getpid(); }

static int there[2], back[2];

static void echo_bytes(void) {
    char byte;
    while (read(there[0], &byte, 1) == 1) write(back[1], &byte, 1);
    _exit(0);
}

/* Send a byte to the other process and back; the first round starts that process. */
static void one_pipe(void) {
    static int running;
    char byte = 'x';
    if (!running) {
        if (pipe(there) < 0 || pipe(back) < 0) err(1, "pipe");
        running = fork();
        if (running < 0) err(1, "fork");
        if (running == 0) close(there[1]), echo_bytes();
    }
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) err(1, "pipe");
}

static void one_fork(void) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) _exit(0);
    waitpid(pid, NULL, 0);
}

static void one_exec(void) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) {
        execv(self, (char *[]){self, "nothing", "0", NULL});
        _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status) errx(1, "the program did not run");
}

/* Grow the heap by a thousand pages, store into each, and shrink it again. */
static void one_sbrk(void) {
    char *memory = sbrk(PAGES * PAGE);
    if (memory == (void *)-1) err(1, "sbrk");
    for (int i = 0; i < PAGES; i++) memory[i * PAGE] = 1;
    sbrk(-PAGES * PAGE);
}

static void nothing(void) {}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*once)(void);
    } operations[] = {{"getpid", one_getpid}, {"pipe", one_pipe}, {"fork", one_fork},
                      {"exec", one_exec},     {"sbrk", one_sbrk}, {"nothing", nothing}};
    self = argc > 3 ? argv[3] : "/bin/basics";
    long rounds = argc > 2 ? atol(argv[2]) : 10;
    for (size_t i = 0; argc > 1 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(operations[i].name, argv[1]) != 0) continue;
        for (long n = 0; n < rounds; n++) operations[i].once();
        if (operations[i].once != nothing) printf("%s, %ld times\n", argv[1], rounds);
        return 0;
    }
    errx(2, "usage: basics getpid|pipe|fork|exec|sbrk|nothing [ROUNDS [ITSELF]]");
}
