/* persist: a linked list in a persistent VAS, walked at the same addresses by a later run.
 * Shows: `run.py exec --nvm disk.nvm:4 persist build`, then `... persist walk` on the same file.
 * `persist build N flush` makes each node durable by itself, with CLWB. `persist churn N` makes one
 * segment after the other, says when one is durable, and then deletes the one before. */

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vas.h>

struct node {
    struct node *next;
    long value;
    char rest[48];
};

static struct node *const place = (struct node *)0x200000000000;

static void flush(const void *line) {
    __asm__ volatile(".byte 0x66, 0x0f, 0xae, 0x30" : : "a"(line) : "memory"); /* clwb [rax] */
}

static void fence(void) { __asm__ volatile("sfence" : : : "memory"); }

static void enter(int vid) {
    if (vas_attach(0, vid, O_RDWR) < 0) err(1, "cannot attach");
    if (vas_switch(vid) < 0) err(1, "cannot switch");
}

/* Nodes are linked in front of the first, which is an anchor: a node is whole before it is
 * reached. */
static void build(long count, int flushes) {
    int vid = vas_create("persist", 0600 | VAS_PERSISTENT);
    if (vid < 0) err(1, "cannot create");
    enter(vid);
    size_t bytes = (size_t)(count + 1) * sizeof(struct node);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(place, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) err(1, "mmap");
    for (long i = 1; i <= count; i++) {
        place[i].value = i;
        place[i].next = place->next;
        if (flushes) flush(&place[i]), fence();
        place->next = &place[i];
        if (flushes) flush(place), fence();
    }
    if (!flushes && msync(place, bytes, MS_SYNC) < 0) err(1, "msync");
    printf("built %ld nodes at %p\n", count, (void *)place);
}

static void walk(void) {
    long nodes = 0, sum = 0, last = 0;
    int vid = vas_find("persist");
    if (vid < 0) err(1, "cannot find");
    enter(vid);
    for (struct node *at = place->next; at; at = at->next) {
        if (last && at->value != last - 1) errx(1, "node %ld comes after %ld", at->value, last);
        last = at->value, nodes++, sum += at->value;
    }
    printf("%ld nodes, sum %ld\n", nodes, sum);
}

static void churn(long count) {
    char name[32];
    long *at = (long *)place;
    int old = 0;
    for (long i = 1; i <= count; i++) {
        snprintf(name, sizeof name, "s%ld", i);
        int sid = vas_seg_create(name, at, at + 1024, 0600 | VAS_PERSISTENT);
        if (sid < 0) err(1, "cannot create %s", name);
        if (vas_seg_attach(0, sid, O_RDWR) < 0) err(1, "cannot attach %s", name);
        for (int j = 0; j < 1024; j++) at[j] = i;
        if (msync(at, 8192, MS_SYNC) < 0) err(1, "msync");
        if (vas_seg_detach(0, sid) < 0) err(1, "cannot detach %s", name);
        printf("%ld\n", i);
        fflush(stdout);
        if (old && vas_seg_delete(old) < 0) err(1, "cannot delete");
        old = sid;
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        puts("usage: persist build [N [flush]] | walk | churn N | drop");
    } else if (!strcmp(argv[1], "build")) {
        build(argc > 2 ? atol(argv[2]) : 100, argc > 3);
    } else if (!strcmp(argv[1], "walk")) {
        walk();
    } else if (!strcmp(argv[1], "churn")) {
        churn(argc > 2 ? atol(argv[2]) : 10);
    } else {
        int vid = vas_find("persist");
        if (vid < 0 || vas_delete(vid) < 0) err(1, "cannot delete");
    }
    return 0;
}
