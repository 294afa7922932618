/* exam_fork: fills four pages, forks, and lets the child write the first two of them.
 * Shows: what parent and child share after fork, and what a store to it does. */

#include <exam.h>
#include <sys/wait.h>

enum { PAGES = 4, WRITTEN = 2, WORDS = 512 };
enum { FILLED, FORKED, WRITTEN_BY_CHILD, ENDED };

static uint64_t *const pages = (uint64_t *)0x500000000000;

static uint64_t sum(void) {
    uint64_t all = 0;
    for (int page = 0; page < PAGES; page++) all ^= pages[page * WORDS];
    return all;
}

static void child(void) {
    exam_stop(FORKED);
    for (int page = 0; page < WRITTEN; page++) pages[page * WORDS] = exam_mix(100 + page);
    exam_stop(WRITTEN_BY_CHILD);
    exam_say(1, sum());
    exit(0);
}

int main(int argc, char **argv) {
    exam_begin(argc, argv);
    mmap(pages, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
         0);
    for (int page = 0; page < PAGES; page++) pages[page * WORDS] = exam_mix(page);
    exam_stop(FILLED);
    if (fork() == 0) child();
    wait(NULL);
    exam_say(2, sum());
    exam_stop(ENDED);
    return 0;
}
