/* overcommit: T threads (default 2) count up in each of N pages (default 400), for R rounds
 * (default 3). Then a child changes its copies of all pages, and the parent checks its own.
 * Shows: a program that needs more than memory and is still right: try --ram 1 --swap 4. */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

enum { WORDS = 4096 / sizeof(uint64_t), MAX_THREADS = 16 };

static volatile uint64_t (*memory)[WORDS];
static size_t pages, threads, rounds;

/* Word i of page p after r rounds; no two pages are alike. */
static uint64_t expected(size_t p, size_t i, uint64_t r) {
    return (p * WORDS + i) * 0x9e3779b97f4a7c15 + r;
}

static int count_up(void *argument) {
    size_t me = (size_t)argument;
    for (size_t p = me; p < pages; p += threads)
        for (size_t i = 0; i < WORDS; i += 64) memory[p][i] = expected(p, i, 0);
    for (size_t r = 0; r < rounds; r++)
        for (size_t p = me; p < pages; p += threads)
            for (size_t i = 0; i < WORDS; i += 64) memory[p][i]++;
    return 0;
}

static size_t wrong_words(uint64_t r) {
    size_t wrong = 0;
    for (size_t p = 0; p < pages; p++)
        for (size_t i = 0; i < WORDS; i += 64) wrong += memory[p][i] != expected(p, i, r);
    return wrong;
}

static void work_in_child(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) err(1, "fork");
    if (child == 0) {
        for (size_t p = 0; p < pages; p += 2)
            for (size_t i = 0; i < WORDS; i += 64) memory[p][i] += 1000;
        size_t wrong = 0;
        for (size_t p = 0; p < pages; p++)
            for (size_t i = 0; i < WORDS; i += 64)
                wrong += memory[p][i] != expected(p, i, rounds) + (p % 2 ? 0 : 1000);
        printf("child: %zu words are wrong\n", wrong);
        exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    pages = argc > 1 ? strtoul(argv[1], NULL, 0) : 400;
    threads = argc > 2 ? strtoul(argv[2], NULL, 0) : 2;
    rounds = argc > 3 ? strtoul(argv[3], NULL, 0) : 3;
    if (threads < 1 || threads > MAX_THREADS) errx(1, "1 to %d threads", MAX_THREADS);
    void *all = mmap(NULL, pages * sizeof *memory, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) err(1, "cannot map %zu pages", pages);
    memory = all;
    thrd_t workers[MAX_THREADS];
    for (size_t i = 0; i < threads; i++)
        if (thrd_create(&workers[i], count_up, (void *)i) != thrd_success) errx(1, "no thread");
    for (size_t i = 0; i < threads; i++) thrd_join(workers[i], NULL);
    printf("%zu pages, %zu threads: %zu words are wrong\n", pages, threads, wrong_words(rounds));
    work_in_child();
    printf("parent: %zu words are wrong\n", wrong_words(rounds));
    return 0;
}
