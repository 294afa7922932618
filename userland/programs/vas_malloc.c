/* vas_malloc: three processes use one VAS in turn, three times, each time with another allocator.
 * malloc has its lists and its blocks in the process. The second one has its lists there and takes
 * blocks by mmap, as many allocators do. vas_heap keeps everything in a segment. Shows: the trap,
 * and the cure.
 *
 * Inside, the first process leaves a pointer to one of its words and frees the rest. The second
 * allocates as much, and follows the pointer. The third frees a block, goes home, and allocates
 * there. A null_call follows each process. */

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, PAGES = 8, BLOCK = 1024, BLOCKS = PAGES * PAGE / BLOCK };
static char *const place = (char *)0x400000000000;
static int vid, sid;

/* ---- Lists in the process, blocks from mmap ---------------------------------------------- */

struct block {
    struct block *next;
};
static struct block *first_free;

static void give(void *memory) {
    struct block *block = memory;
    block->next = first_free;
    first_free = block;
}

static void *take(void) {
    if (!first_free) {
        char *arena = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                           -1, 0);
        if (arena == MAP_FAILED) err(1, "no memory");
        for (int i = BLOCKS - 1; i >= 0; i--) give(arena + i * BLOCK);
    }
    struct block *block = first_free;
    first_free = block->next;
    return block;
}

/* ---- Three allocators -------------------------------------------------------------------- */

static void *take_by_malloc(void) { return malloc(BLOCK); }

static struct vas_heap *heap(void) {
    struct vas_heap *found = vas_heap_open(place);
    if (!found) errx(1, "there is no heap");
    return found;
}

static void *take_from_heap(void) { return vas_heap_alloc(heap(), BLOCK - 16); }
static void give_to_heap(void *block) { vas_heap_free(heap(), block); }

static const struct allocator {
    const char *name;
    void *(*take)(void);
    void (*give)(void *);
    void *(*take_at_home)(void);
} allocators[] = {
    {"malloc", take_by_malloc, free, take_by_malloc},
    {"mapped", take, give, take},
    {"vas_heap", take_from_heap, give_to_heap, take_by_malloc},
};

/* ---- Three processes --------------------------------------------------------------------- */

static void enter(void) {
    if (vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) err(1, "cannot enter");
}

static void *some(void *memory) {
    if (!memory) err(1, "no block");
    return memory;
}

static void first(const struct allocator *with) {
    char *blocks[BLOCKS];
    enter();
    for (int i = 0; i < BLOCKS; i++) *(blocks[i] = some(with->take())) = 'x';
    strlcpy(blocks[0], "first", BLOCK);
    vas_heap_set_root(heap(), blocks[0]);
    for (int i = 1; i < BLOCKS; i++) with->give(blocks[i]);
    printf("%s: the first process leaves a pointer to %p\n", with->name, (void *)blocks[0]);
}

static void second(const struct allocator *with) {
    char *blocks[BLOCKS];
    enter();
    for (int i = 0; i < BLOCKS; i++) strlcpy(blocks[i] = some(with->take()), "second", BLOCK);
    printf("%s: the second finds '%s' there\n", with->name, (char *)vas_heap_root(heap()));
    for (int i = 0; i < BLOCKS; i++) with->give(blocks[i]);
}

static void third(const struct allocator *with) {
    enter();
    with->give(some(with->take()));
    if (vas_switch(0) < 0) {
        printf("%s: the third cannot go home: %s\n", with->name, strerror(errno));
        return;
    }
    *(char *)some(with->take_at_home()) = 'x';
}

static void in_a_process(void (*work)(const struct allocator *), const struct allocator *with) {
    int status;
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        first_free = NULL; /* from now on its page belongs to this process, in every view */
        free(some(malloc(1))); /* and the heap exists before any view of it */
        work(with);
        exit(0);
    }
    if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status)) errx(1, "a process failed");
    if (WIFSIGNALED(status)) printf("%s: SIG%s\n", with->name, sigabbrev_np(WTERMSIG(status)));
    null_call();
}

/* A VAS that shows a segment with a heap. */
static void set_up(void) {
    char *end = place + (PAGES + 1) * PAGE;
    sid = vas_seg_create("data", place, end, 0600);
    if (sid < 0 || vas_seg_attach(0, sid, O_RDWR) < 0) err(1, "cannot make a segment");
    if (!vas_heap_create(place, (size_t)(end - place))) err(1, "cannot make a heap");
    if (vas_seg_detach(0, sid) < 0) err(1, "cannot detach");
    vid = vas_create("data", 0600);
    if (vid < 0 || vas_seg_attach(vid, sid, O_RDWR) < 0) err(1, "cannot set up");
}

int main(void) {
    vantage_required();
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
        set_up();
        in_a_process(first, &allocators[i]);
        in_a_process(second, &allocators[i]);
        in_a_process(third, &allocators[i]);
        if (vas_delete(vid) < 0 || vas_seg_delete(sid) < 0) err(1, "cannot delete");
    }
    return 0;
}
