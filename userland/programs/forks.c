/* forks: a binary tree of processes, DEPTH levels deep (default 4). Shows: fork, exit statuses,
 * and waiting for children. Every process ends with the size of its subtree as its status. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int subtree(int depth);

static pid_t start_subtree(int depth) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) exit(subtree(depth));
    return pid;
}

static int size_of(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid) err(1, "waitpid");
    if (!WIFEXITED(status)) errx(1, "a child was killed by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int subtree(int depth) {
    if (depth == 0) return 1;
    pid_t left = start_subtree(depth - 1), right = start_subtree(depth - 1);
    return 1 + size_of(left) + size_of(right);
}

int main(int argc, char **argv) {
    int depth = argc > 1 ? atoi(argv[1]) : 4;
    if (depth < 0 || depth > 6) errx(2, "the depth must be 0 to 6: an exit status holds 8 bits");
    int size = subtree(depth), expected = (2 << depth) - 1;
    printf("A tree of depth %d has %d processes: %s\n", depth, size,
           size == expected ? "right" : "WRONG");
    return size != expected;
}
