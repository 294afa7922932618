/* exam_stale: changes the page behind an address, and checks that every thread sees the new one.
 *
 *     exam_stale NONCE tag N      a child cuts off a file's N pages, which its parent has mapped
 *     exam_stale NONCE reuse N    N children, each with a page of its own at the same address
 *     exam_stale NONCE core N     three threads use N pages, a fourth puts new ones there
 *     exam_stale NONCE kept N     parent and child take N turns each, and nothing changes
 *
 * Shows: three ways in which a translation becomes stale, and whether the kernel flushes it each
 * time; and that the kernel flushes no more than it must. */

#include <exam.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>

enum { PAGE = 4096, WORDS = PAGE / 8, MOST = 8, THREADS = 3, NEW = 100 };

static volatile uint64_t *const pages = (uint64_t *)0x500000000000;
static int count = 3, wrong;

static void map(int flags, int file, int number) {
    void *got = mmap((void *)pages, (size_t)number * PAGE, PROT_READ | PROT_WRITE,
                     flags | MAP_FIXED, file, 0);
    if (got == MAP_FAILED) err(1, "cannot map %d pages", number);
}

/* The value that was read should be number `expected`. */
static void see(int who, uint64_t seen, int expected) {
    int right = seen == exam_mix(expected);
    EXAM_PAGE[1 + who] = seen;
    printf("look %d: %#lx, %s\n", who, (unsigned long)seen, right ? "right" : "WRONG");
    wrong += !right;
}

static void refill(int file) {
    if (ftruncate(file, 0) || ftruncate(file, count * PAGE)) err(1, "cannot cut the file");
    for (int page = 0; page < count; page++) pages[page * WORDS] = exam_mix(NEW + page);
    exit(0);
}

static void tag(void) {
    int file = open("/tmp/stale", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, count * PAGE)) err(1, "no file");
    map(MAP_SHARED, file, count);
    for (int page = 0; page < count; page++) pages[page * WORDS] = exam_mix(page);
    if (fork() == 0) refill(file);
    wait(NULL);
    for (int page = 0; page < count; page++) see(page, pages[page * WORDS], NEW + page);
}

static void child(int number) {
    pages[0] = exam_mix(NEW + number);
    sched_yield();
    sched_yield();
    see(number, pages[0], NEW + number);
    exit(wrong);
}

static void reuse(void) {
    map(MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    for (int number = 0; number < count; number++)
        if (fork() == 0) child(number);
    for (int number = 0, status; number < count; number++) {
        wait(&status);
        wrong += status != 0;
    }
}

static void take_turns(int number) {
    for (int turn = 0; turn < count; turn++) {
        pages[0] = exam_mix(NEW + number);
        sched_yield();
    }
    see(number, pages[0], NEW + number);
}

static void kept(void) {
    map(MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    if (fork() == 0) take_turns(1), exit(wrong);
    take_turns(0);
    wait(NULL);
}

static _Atomic int looking, changed;

static int look(void *argument) {
    int number = (int)(long)argument;
    for (int page = 0; page < count; page++) wrong += pages[page * WORDS] != exam_mix(page);
    looking++;
    while (!changed) continue;
    for (int page = 0; page < count; page++)
        see(number * count + page, pages[page * WORDS], NEW + page);
    return 0;
}

static void core(void) {
    thrd_t thread[THREADS];
    map(MAP_PRIVATE | MAP_ANONYMOUS, -1, count);
    for (int page = 0; page < count; page++) pages[page * WORDS] = exam_mix(page);
    for (long i = 0; i < THREADS; i++) thrd_create(&thread[i], look, (void *)i);
    while (looking < THREADS) continue;
    map(MAP_PRIVATE | MAP_ANONYMOUS, -1, count);
    for (int page = 0; page < count; page++) pages[page * WORDS] = exam_mix(NEW + page);
    changed = 1;
    for (int i = 0; i < THREADS; i++) thrd_join(thread[i], NULL);
}

int main(int argc, char **argv) {
    const char *scene = argc > 2 ? argv[2] : "tag";
    if (argc > 3) count = atoi(argv[3]);
    if (count < 1 || count > MOST) errx(2, "1 to %d", MOST);
    exam_begin(argc, argv);
    if (strcmp(scene, "tag") == 0) tag();
    else if (strcmp(scene, "reuse") == 0) reuse();
    else if (strcmp(scene, "core") == 0) core();
    else if (strcmp(scene, "kept") == 0) kept();
    else errx(2, "no scene '%s': choose tag, reuse, core or kept", scene);
    exam_stop(0);
    return wrong;
}
