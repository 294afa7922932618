/* forkbench: with N resident pages (default 256), forks a child and waits for it, R times
 * (default 20). Shows: the cost of a fork, and how it grows with the size of the parent. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void fork_once(void) {
    int status;
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) _exit(0);
    if (waitpid(pid, &status, 0) != pid || status != 0) errx(1, "the child did not end well");
}

int main(int argc, char **argv) {
    size_t pages = argc > 1 ? strtoul(argv[1], NULL, 0) : 256;
    int rounds = argc > 2 ? atoi(argv[2]) : 20;
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    if (memory == MAP_FAILED) err(1, "cannot map %zu pages", pages);
    memset(memory, 1, pages * PAGE);
    for (int i = 0; i < rounds; i++) fork_once();
    printf("%d forks with %zu resident pages\n", rounds, pages);
    return 0;
}
