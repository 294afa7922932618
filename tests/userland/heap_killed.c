/* A vas_heap whose users are killed at any instruction: it goes on, and no two blocks overlap. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vas.h>

#define START ((char *)0x690000000000)
enum { BYTES = 1 << 16, SMALL = 64, LARGE = 640, MOST_LOST = 2 * (SMALL + LARGE + 64) };

static int vid;

static struct vas_heap *enter(void) {
    if (vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) _exit(9);
    return vas_heap_open(START);
}

/* By turns the blocks join with each other, with the rest, and with nothing. */
static _Noreturn void use(void) {
    for (struct vas_heap *heap = enter();;) {
        char *one = vas_heap_alloc(heap, SMALL), *two = vas_heap_alloc(heap, LARGE);
        vas_heap_free(heap, one);
        vas_heap_free(heap, two);
    }
}

/* Everything that is free is taken, filled, looked at, and given back. */
static _Noreturn void look(size_t least) {
    static unsigned char *blocks[BYTES / SMALL];
    struct vas_heap *heap = enter();
    int count = 0;
    alarm(1);
    if (vas_heap_room(heap, NULL) < least) _exit(2);
    while ((blocks[count] = vas_heap_alloc(heap, SMALL))) {
        if ((size_t)blocks[count] % 16) _exit(3);
        memset(blocks[count], count & 255, SMALL);
        count++;
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < SMALL; j++)
            if (blocks[i][j] != (i & 255)) _exit(4);
    for (int i = 0; i < count; i++) vas_heap_free(heap, blocks[i]);
    if (vas_heap_room(heap, NULL) < least) _exit(5);
    _exit(count < 8 ? 6 : 0);
}

static size_t room(void) {
    struct vas_heap *heap = enter();
    size_t bytes = vas_heap_room(heap, NULL);
    vas_switch(0);
    vas_detach(0, vid);
    return bytes;
}

static int ended(pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    long first = atol(argv[1]), step = atol(argv[2]), rounds = atol(argv[3]);
    int sid = vas_seg_create("heap", START, START + BYTES, 0600);
    vid = vas_create("heap", 0600);
    vas_seg_attach(vid, sid, O_RDWR);
    vas_attach(0, vid, O_RDWR);
    vas_switch(vid);
    vas_heap_create(START, BYTES);
    vas_switch(0);
    vas_detach(0, vid);
    for (long round = 0; round < rounds; round++) {
        size_t before = room();
        pid_t pid = fork();
        if (!pid) use();
        struct timespec pause = {0, first + round * step};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        ended(pid);
        if (!(pid = fork())) look(before - MOST_LOST);
        int status = ended(pid);
        if (status) return printf("round %ld ended with %#x\n", round, status), 1;
        if (before < BYTES / 2) return puts("too much is lost"), 1;
    }
    puts("the heap lives");
    return 0;
}
