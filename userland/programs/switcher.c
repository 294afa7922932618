/* switcher: two processes, or with `switcher N threads` two threads, yield to each other N times
 * each (default 1000). Shows: the cost of a switch, with and without a change of address
 * space. */

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static long yields = 1000;

static int give_way(void *unused) {
    (void)unused;
    for (long i = 0; i < yields; i++) sched_yield();
    return 0;
}

static void with_threads(void) {
    thrd_t other;
    if (thrd_create(&other, give_way, NULL) != thrd_success) errx(1, "cannot create a thread");
    give_way(NULL);
    thrd_join(other, NULL);
}

static void with_processes(void) {
    pid_t other = fork();
    if (other < 0) err(1, "fork");
    give_way(NULL);
    if (other == 0) _exit(0);
    waitpid(other, NULL, 0);
}

int main(int argc, char **argv) {
    if (argc > 1) yields = atol(argv[1]);
    int threads = argc > 2 && strcmp(argv[2], "threads") == 0;
    threads ? with_threads() : with_processes();
    printf("two %s gave way %ld times each\n", threads ? "threads" : "processes", yields);
    return 0;
}
