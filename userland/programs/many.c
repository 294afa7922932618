/* many: N children (default 1000) are alive at once and sleep on one word of shared memory until
 * the parent changes it. Shows: how many processes the system can hold, a futex across processes,
 * and that one wake call wakes them all. */

#include <err.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In memory that the children share with the parent. */
static struct shared {
    int released;
    int alive;
} *shared;

static void futex_wait(int *word, int expected) {
    syscall(SYS_futex, word, FUTEX_WAIT, expected, NULL);
}

static void futex_wake(int *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX); }

static _Noreturn void child(void) {
    __atomic_fetch_add(&shared->alive, 1, __ATOMIC_SEQ_CST);
    futex_wake(&shared->alive);
    while (!__atomic_load_n(&shared->released, __ATOMIC_SEQ_CST)) futex_wait(&shared->released, 0);
    __atomic_fetch_sub(&shared->alive, 1, __ATOMIC_SEQ_CST);
    _exit(0);
}

static void wait_until_alive(int count) {
    int alive;
    while ((alive = __atomic_load_n(&shared->alive, __ATOMIC_SEQ_CST)) < count)
        futex_wait(&shared->alive, alive);
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) err(1, "mmap");

    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0) err(1, "fork %d", i + 1);
        if (pid == 0) child();
    }
    wait_until_alive(count);
    printf("%d children alive at once\n", shared->alive);

    __atomic_store_n(&shared->released, 1, __ATOMIC_SEQ_CST);
    futex_wake(&shared->released);
    int ended = 0, status;
    while (wait(&status) > 0) ended += status == 0;
    printf("%d ended, %d left\n", ended, shared->alive);
    return ended != count;
}
