/* vas_heap: one process builds a list in a heap inside a segment and ends. A second one finds the
 * list by name, walks it at the same addresses and makes it longer. A third frees all of it. Shows:
 * pointers that stay valid from process to process, and an allocator that lies beside its blocks.
 * The argument is the number of items that each process adds (default 20). */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { BYTES = 1 << 20 };
static char *const place = (char *)0x100000000000;

struct item {
    struct item *next;
    int number;
    char padding[40];
};

static int items = 20;

static struct vas_heap *enter(void) {
    int vid = vas_find("list");
    if (vid < 0 || vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0)
        err(1, "cannot enter the VAS");
    return vas_heap_open(place);
}

static void add(struct vas_heap *heap, int from) {
    for (int i = from; i < from + items; i++) {
        struct item *item = vas_heap_alloc(heap, sizeof *item);
        if (!item) err(1, "no room");
        *item = (struct item){.next = vas_heap_root(heap), .number = i};
        vas_heap_set_root(heap, item);
    }
}

static int sum(struct vas_heap *heap) {
    int total = 0;
    for (struct item *item = vas_heap_root(heap); item; item = item->next) total += item->number;
    return total;
}

static void build(void) {
    enter();
    add(vas_heap_create(place, BYTES), 0);
}

static void extend(void) {
    struct vas_heap *heap = enter();
    if (!heap) errx(1, "there is no heap");
    printf("the second process finds the sum %d\n", sum(heap));
    add(heap, items);
}

static void clear(void) {
    struct vas_heap *heap = enter();
    size_t pieces;
    printf("the third finds the sum %d\n", sum(heap));
    for (struct item *item = vas_heap_root(heap), *next; item; item = next) {
        next = item->next;
        vas_heap_free(heap, item);
    }
    size_t room = vas_heap_room(heap, &pieces);
    printf("all is free again: %lu bytes in %lu piece%s\n", room, pieces, pieces == 1 ? "" : "s");
}

static void in_a_process(void (*function)(void)) {
    int status;
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        function();
        exit(0);
    }
    if (waitpid(pid, &status, 0) < 0 || status) errx(1, "a process failed");
}

int main(int argc, char **argv) {
    if (argc > 1) items = atoi(argv[1]);
    if (items < 1 || items > 5000) errx(2, "1 to 5000 items");
    vantage_required();
    int vid = vas_create("list", 0600);
    int sid = vas_seg_create("items", place, place + BYTES, 0600);
    if (vid < 0 || sid < 0 || vas_seg_attach(vid, sid, O_RDWR) < 0) err(1, "cannot set up");
    in_a_process(build);
    in_a_process(extend);
    in_a_process(clear);
    if (vas_delete(vid) < 0 || vas_seg_delete(sid) < 0) err(1, "cannot delete");
    return 0;
}
