/* crossings: crosses one kind of border N times (default 20), and touches P pages (default 8) of
 * memory after each. Shows: what a change of thread, of view and of process costs, side by side.
 *
 *     crossings null                a system call that does nothing
 *     crossings threads             sched_yield between two threads
 *     crossings views               vas_switch into a VAS and back
 *     crossings processes           sched_yield between two processes
 *     crossings create              vas_create
 *     crossings attach              vas_create and vas_attach
 *     crossings fork                fork; the children wait until all exist
 *
 * For create, attach and fork, a null call before and after each one marks it in the trace.
 *
 * For `views`, three more numbers: resident pages of the VAS (default 8), the number of regions in
 * which they lie (1), and the number of attached VASes (1). For `attach`, the first two of them.
 * For `fork`, the number of resident pages of the process. */

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096 };

static long rounds = 20, working_set = 8, pages = 8, regions = 1, vases = 1;
static char *set; /* the working set */

static char *map(long count) {
    if (count == 0) return NULL;
    char *memory = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) err(1, "cannot map %ld pages", count);
    for (long i = 0; i < count; i++) memory[i * PAGE] = 1;
    return memory;
}

static void touch(void) {
    volatile char *at = set;
    for (long i = 0; i < working_set; i++, at += PAGE) (void)*at;
}

static int give_way(void *unused) {
    (void)unused;
    for (long i = 0; i < rounds; i++) {
        sched_yield();
        touch();
    }
    return 0;
}

static void null(void) {
    for (long i = 0; i < rounds; i++) {
        null_call();
        touch();
    }
}

static void threads(void) {
    thrd_t other;
    if (thrd_create(&other, give_way, NULL) != thrd_success) errx(1, "cannot create a thread");
    give_way(NULL);
    thrd_join(other, NULL);
}

static void processes(void) {
    pid_t other = fork();
    if (other < 0) err(1, "fork");
    give_way(NULL);
    if (other == 0) _exit(0);
    waitpid(other, NULL, 0);
}

static int make(long number) {
    char name[24];
    snprintf(name, sizeof name, "crossing%ld", number);
    null_call();
    int vid = vas_create(name, 0600);
    if (vid < 0) err(1, "cannot create VAS %ld", number);
    return vid;
}

static void attach(int vid) {
    if (vas_attach(0, vid, O_RDWR) < 0) err(1, "cannot attach VAS %d", vid);
}

static void go(int vid) {
    if (vas_switch(vid) < 0) err(1, "cannot switch to VAS %d", vid);
}

/* Regions that do not merge: their rights differ. */
static void fill(int vid) {
    attach(vid);
    go(vid);
    for (long i = 0; i < regions; i++) {
        char *memory = map(pages / regions);
        if (i % 2 && mprotect(memory, (size_t)(pages / regions) * PAGE, PROT_READ) < 0)
            err(1, "mprotect");
    }
    go(0);
}

static void views(void) {
    int vid = make(0);
    fill(vid);
    for (long i = 1; i < vases; i++) attach(make(i));
    for (long i = 0; i < rounds; i++) {
        go(vid);
        touch();
        go(0);
        touch();
    }
}

static void create(void) {
    for (long i = 0; i < rounds; i++) {
        make(i);
        null_call();
    }
}

/* If pages are given: attach one VAS with these pages again and again. */
static void attaching(void) {
    int vid = pages ? make(rounds) : 0;
    if (vid) {
        fill(vid);
        vas_detach(0, vid);
    }
    for (long i = 0; i < rounds; i++) {
        if (vid) null_call();
        attach(vid ? vid : make(i));
        null_call();
        if (vid) vas_detach(0, vid);
    }
}

static void forks(void) {
    map(pages);
    pid_t children[rounds];
    for (long i = 0; i < rounds; i++) {
        null_call();
        children[i] = fork();
        if (children[i] < 0) err(1, "fork");
        null_call();
        if (children[i] == 0)
            for (;;) pause();
    }
    for (long i = 0; i < rounds; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
}

static const struct {
    const char *name;
    void (*cross)(void);
} kinds[] = {
    {"null", null},         {"threads", threads},  {"views", views}, {"processes", processes},
    {"create", create}, {"attach", attaching}, {"fork", forks},
};

int main(int argc, char **argv) {
    vantage_required();
    long *numbers[] = {&rounds, &working_set, &pages, &regions, &vases};
    const char *name = argc > 1 ? argv[1] : "null";
    for (int i = 2; i < argc && i < 7; i++) *numbers[i - 2] = atol(argv[i]);
    set = map(working_set);
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k].name, name) == 0) {
            kinds[k].cross();
            printf("%s, %ld times\n", name, rounds);
            return 0;
        }
    errx(2, "there is no crossing %s", name);
}
