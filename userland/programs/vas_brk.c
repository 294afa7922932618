/* vas_brk: two threads grow one heap, one of them inside a VAS, the other outside. Shows: the
 * outcome under each of three synchronisation policies. Run it three times:
 *
 *     run.py exec --vas-sync rfc vas_brk        the thread inside cannot come back
 *     run.py exec --vas-sync forward vas_brk    works, and the kernel counts what it pushed
 *     run.py exec --vas-sync subtree vas_brk    works, and there was nothing to push
 *
 *     run.py exec vas_brk segments              no view: only a segment, shown at home
 *
 * The threads take turns by a flag, so every seed and any number of cores gives the same result. */

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, ROUNDS = 3 };
enum turn { WORKER_GROWS = 1, MAIN_GROWS, WORKER_LEAVES, MAIN_LOOKS, OVER };

static volatile int turn = OVER;
static int vid;
static char *inside, *outside; /* the pages that the threads got */
static struct vantage_region seen_inside;
static int stuck; /* the worker could not switch back */

static void wait_for(int wanted) {
    while (turn != wanted) thrd_yield();
}

/* The heap as the calling thread's view has it. */
static struct vantage_region heap(void) {
    struct vantage_region region = {0};
    for (uint64_t i = 0; vantage_region(i, &region) == 0; i++)
        if (strcmp(region.name, "[heap]") == 0) return region;
    return (struct vantage_region){0};
}

static char *grow(int letter) {
    char *page = sbrk(PAGE);
    if (page == (void *)-1) err(1, "cannot grow the heap");
    *page = (char)letter;
    return page;
}

static int worker(void *unused) {
    (void)unused;
    for (int round = 1; round <= ROUNDS; round++) {
        wait_for(WORKER_GROWS);
        if (vas_switch(vid) < 0) err(1, "cannot switch in");
        inside = grow('i');
        seen_inside = heap();
        turn = MAIN_GROWS;
        wait_for(WORKER_LEAVES);
        for (int tries = 0; vas_switch(0) < 0; tries++)
            if (tries == 2) {
                stuck = errno;
                turn = MAIN_LOOKS;
                return 1;
            }
        turn = MAIN_LOOKS;
    }
    return 0;
}

static void explain(void) {
    struct vantage_region here = heap();
    printf("the thread inside is told %s at each of 3 tries to come back, and is ended\n",
           strerror(stuck));
    printf("two regions conflict: [heap] %#lx-%#lx as the VAS has it, and [heap] %#lx-%#lx as the "
           "process has it\n",
           seen_inside.start, seen_inside.end, here.start, here.end);
}

static void attach_vas(void) {
    if ((vid = vas_create("vas_brk", 0600)) < 0) err(1, "cannot create a VAS");
    if (vas_attach(0, vid, O_RDWR) < 0) err(1, "cannot attach it");
}

/* vid stays 0, the process's own space: every switch goes to where the thread already is. */
static void attach_segment(void) {
    char *place = (char *)0x100000000000;
    int sid = vas_seg_create("vas_brk", place, place + PAGE, 0600);
    if (sid < 0 || vas_seg_attach(0, sid, O_RDWR) < 0) err(1, "cannot show a segment at home");
    *place = 's';
}

static void tell(void) {
    printf("one heap in both views; the kernel pushed %d changes from one to the other\n",
           vas_ctl(vid, VAS_CTL_PUSHED, 0));
}

int main(int argc, char **argv) {
    vantage_required();
    grow('0'); /* so that there is a heap before the VAS is attached */
    argc > 1 && strcmp(argv[1], "segments") == 0 ? attach_segment() : attach_vas();
    thrd_t thread;
    if (thrd_create(&thread, worker, NULL) != thrd_success) errx(1, "cannot create a thread");

    for (int round = 1; round <= ROUNDS && !stuck; round++) {
        turn = WORKER_GROWS;
        wait_for(MAIN_GROWS);
        outside = grow('o');
        turn = WORKER_LEAVES;
        wait_for(MAIN_LOOKS);
        if (stuck) break;
        printf("round %d: %c at %#lx from inside, %c at %#lx from outside\n", round, *inside,
               (unsigned long)inside, *outside, (unsigned long)outside);
    }
    turn = OVER;
    if (stuck) explain();
    thrd_join(thread, NULL);
    if (!vid) {
        puts("one heap, and one view: whoever is in the process sees the segment");
        return 0;
    }
    if (!stuck) tell();
    if (vas_detach(0, vid) < 0) warn("cannot detach");
    if (vas_delete(vid) < 0) err(1, "cannot delete");
    return stuck != 0;
}
