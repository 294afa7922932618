/* memcalls: the memory calls with right and wrong arguments, and the contents of memory afterwards.
 * Shows: results and error numbers. They are Linux's: run it on a Linux host and compare. */

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ /* some C libraries lack them */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
enum { PAGES = 64 };

/* All mappings lie in one area, and addresses are printed as distances from it. */
static char *place;

static char *page(size_t number) { return place + number * PAGE; }

static void say(const char *what, long result) {
    if (result == -1)
        printf("  %-44s error %d\n", what, errno);
    else if ((char *)result >= place && (char *)result < page(PAGES))
        printf("  %-44s page %ld\n", what, ((char *)result - place) / (long)PAGE);
    else
        printf("  %-44s %ld\n", what, result);
}

/* "mmap(...)" as a line: the call as it is written here, and its result. */
#define TRY(...) say(#__VA_ARGS__, (long)(__VA_ARGS__))

static void *map(size_t first, size_t pages, int prot, int flags) {
    return mmap(page(first), pages * PAGE, prot, flags | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

static void clear_all(void) { map(0, PAGES, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE); }

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    _exit(100 + number * 10 + info->si_code);
}

/* What a child process finds there: a byte, or a signal and its code. */
static void look(const char *what, size_t number, int store) {
    fflush(stdout);
    if (fork() == 0) {
        struct sigaction action = {.sa_flags = SA_SIGINFO};
        action.sa_sigaction = on_fault;
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        volatile char *byte = page(number);
        if (store) *byte = (char)store;
        _exit(*byte);
    }
    int status;
    wait(&status);
    int code = status >> 8 & 0xff;
    printf("  %-36s page %2zu: ", what, number);
    if (code < 100)
        printf("%d\n", code);
    else
        printf("signal %d, code %d\n", (code - 100) / 10, (code - 100) % 10);
}

static void fill(size_t first, size_t pages, int from) {
    for (size_t i = 0; i < pages; i++) *page(first + i) = (char)(from + (int)i);
}

static void residence(const char *what, size_t first, size_t pages) {
    unsigned char in_memory[PAGES];
    int result = mincore(page(first), pages * PAGE, in_memory);
    printf("  %-36s ", what);
    if (result < 0) printf("error %d", errno);
    for (size_t i = 0; result == 0 && i < pages; i++) printf("%d", in_memory[i] & 1);
    printf("\n");
}

static void mapping(void) {
    printf("mmap\n");
    clear_all();
    TRY(mmap(NULL, 0, RW, ANONYMOUS, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_ANONYMOUS | 3, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_ANONYMOUS | 5, -1, 0));
    TRY(mmap(NULL, PAGE, RW, ANONYMOUS, -1, 1));
    TRY(mmap(NULL, PAGE, RW, ANONYMOUS, -1, -4096) == MAP_FAILED);
    TRY(mmap(NULL, 1ul << 47, RW, ANONYMOUS | MAP_NORESERVE, -1, 0));
    TRY(mmap(NULL, -1ul, RW, ANONYMOUS, -1, 0));
    TRY(mmap(page(1) + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap((void *)(1ul << 47), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap((void *)((1ul << 47) + 1), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap(page(1), PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    TRY(mmap(page(1), PAGE, RW | 8, ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap(page(1), PAGE, RW | 64, ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap(page(1), PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_STACK | MAP_NORESERVE, -1, 0));
    TRY(mmap(page(1), PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
    TRY(mmap(page(1), PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 1));
    TRY(mmap(NULL, 0, RW, MAP_PRIVATE, 99, 0));
    TRY(munmap(page(1) + 1, PAGE));
    TRY(munmap(page(1), 0));
    TRY(munmap(page(1), -1ul));
    TRY(munmap(page(1), PAGE));
    look("unmapped", 1, 0);
    look("reserved", 2, 0);
    char *huge = mmap(NULL, 64ul << 30, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    TRY(huge != MAP_FAILED);
    TRY(mprotect(huge + (40ul << 30), PAGE, RW));
    huge[40ul << 30] = 1;
    TRY(munmap(huge, 64ul << 30));
}

static void protecting(void) {
    printf("mprotect\n");
    clear_all();
    map(0, 8, RW, MAP_PRIVATE);
    munmap(page(8), PAGE);
    fill(0, 8, 1);
    TRY(mprotect(page(0) + 1, PAGE, PROT_READ));
    TRY(mprotect(page(0), 0, 99));
    TRY(mprotect(page(0), PAGE, 8 | PROT_READ));
    TRY(mprotect(page(0), PAGE, 16));
    TRY(mprotect(page(0), -1ul, PROT_READ));
    TRY(mprotect(page(8), PAGE, PROT_READ));
    TRY(mprotect(page(2), PAGE, PROT_READ));
    TRY(mprotect(page(3), PAGE, PROT_NONE));
    look("readable", 2, 0);
    look("stored to, though only readable", 2, 9);
    look("without rights", 3, 0);
    TRY(mprotect(page(3), PAGE, RW));
    look("with rights again", 3, 0);
}

static void moving(void) {
    printf("mremap\n");
    clear_all();
    map(0, 4, RW, MAP_PRIVATE);
    fill(0, 4, 10);
    TRY(mremap(page(0) + 1, PAGE, PAGE, 0));
    TRY(mremap(page(0), 4 * PAGE, 0, 0));
    TRY(mremap(page(0), 4 * PAGE, 8 * PAGE, 64));
    TRY(mremap(page(0), 4 * PAGE, 8 * PAGE, 0));
    TRY(mremap(page(0), 5 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
    TRY(mremap(page(0), 0, PAGE, MREMAP_MAYMOVE));
    TRY(mremap(page(0), 4 * PAGE, 8 * PAGE, MREMAP_FIXED, page(20)));
    TRY(mremap(page(0), 4 * PAGE, 8 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(20) + 1));
    TRY(mremap(page(0), 4 * PAGE, 8 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(3)));
    TRY(mremap(page(0), 4 * PAGE, 4 * PAGE, 0));
    TRY(mremap(page(0), 4 * PAGE, 3 * PAGE, 0));
    look("kept", 2, 0);
    look("cut off", 3, 0);
    TRY(mremap(page(0), 3 * PAGE, 4 * PAGE, 0));
    look("grown", 3, 0);
    TRY(mremap(page(0), 4 * PAGE, 6 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(20)));
    look("left", 0, 0);
    look("moved", 20, 0);
    look("grown on the way", 25, 7);
    TRY(mremap(page(21), 2 * PAGE, 2 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(40)));
    look("out of the middle", 40, 0);
    look("behind the middle", 23, 0);
    TRY(mremap(page(20), 6 * PAGE, 3 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(50)));
    TRY(mremap(page(33), PAGE, 2 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
    munmap(page(60), PAGE);
    TRY(mremap(page(60), PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    printf("mremap, shared\n");
    clear_all();
    map(0, 4, RW, MAP_SHARED);
    fill(0, 4, 30);
    munmap(page(4), 4 * PAGE);
    TRY(mremap(page(0), 4 * PAGE, 6 * PAGE, 0));
    look("grown past the end", 5, 0);
    TRY(mremap(page(1), 0, 2 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, page(10)));
    look("a second time", 10, 0);
    *page(11) = 77;
    look("stored to elsewhere", 2, 0);
    TRY(munmap(page(2), PAGE));
    TRY(munmap(page(11), PAGE));
    TRY(mremap(page(10), PAGE, 2 * PAGE, 0));
}

static void advising(void) {
    printf("madvise\n");
    clear_all();
    map(0, 8, RW, MAP_PRIVATE);
    map(8, 8, RW, MAP_SHARED);
    fill(0, 16, 1);
    TRY(madvise(page(0) + 1, PAGE, MADV_NORMAL));
    TRY(madvise(page(0), PAGE, 7));
    TRY(madvise(page(0) + 1, PAGE, 7));
    TRY(madvise(page(0), 0, MADV_DONTNEED));
    TRY(madvise(page(0), -1ul, MADV_DONTNEED));
    for (int advice = 0; advice < 4; advice++) TRY(madvise(page(0), 8 * PAGE, advice));
    TRY(madvise(page(0), 8 * PAGE, MADV_FREE + 0 * 8));
    fill(0, 8, 1);
    TRY(madvise(page(8), PAGE, MADV_FREE));
    TRY(madvise(page(1), PAGE, MADV_DONTNEED));
    look("forgotten", 1, 0);
    look("next to it", 2, 0);
    TRY(madvise(page(9), PAGE, MADV_DONTNEED));
    look("shared: not forgotten", 9, 0);
    TRY(madvise(page(9), PAGE, MADV_REMOVE));
    look("shared: removed", 9, 0);
    TRY(madvise(page(0), PAGE, MADV_REMOVE));
    TRY(madvise(page(4), PAGE, MADV_DONTFORK));
    TRY(madvise(page(5), PAGE, MADV_WIPEONFORK));
    TRY(madvise(page(9), PAGE, MADV_WIPEONFORK));
    look("a child has not got", 4, 0);
    look("a child gets zeroes for", 5, 0);
    TRY(madvise(page(4), PAGE, MADV_DOFORK));
    TRY(madvise(page(5), PAGE, MADV_KEEPONFORK));
    look("a child has", 4, 0);
    look("a child has", 5, 0);
    munmap(page(6), PAGE);
    TRY(madvise(page(5), 3 * PAGE, MADV_DONTNEED));
    look("before the hole", 5, 0);
    look("behind the hole", 7, 0);
    TRY(madvise(page(5), 3 * PAGE, MADV_POPULATE_READ));
    TRY(madvise(page(20), PAGE, MADV_POPULATE_READ));
    TRY(madvise(page(7), PAGE, MADV_POPULATE_WRITE));
    mprotect(page(7), PAGE, PROT_READ);
    TRY(madvise(page(7), PAGE, MADV_POPULATE_WRITE));
}

static void keeping(void) {
    printf("mincore\n");
    clear_all();
    map(0, 6, RW, MAP_PRIVATE);
    unsigned char byte;
    TRY(mincore(page(0) + 1, PAGE, &byte));
    TRY(mincore(page(0), 0, NULL));
    TRY(mincore(page(0), PAGE, NULL));
    TRY(mincore(page(0), PAGE, (void *)-1ul));
    residence("fresh", 0, 6);
    fill(1, 2, 1);
    residence("two were stored to", 0, 6);
    madvise(page(2), PAGE, MADV_DONTNEED);
    residence("one was forgotten", 0, 6);
    TRY(madvise(page(4), 2 * PAGE, MADV_POPULATE_WRITE));
    residence("two were populated", 0, 6);
    munmap(page(5), PAGE);
    residence("with a hole", 0, 6);
    printf("mlock\n");
    clear_all();
    map(0, 8, RW, MAP_PRIVATE);
    TRY(mlock(page(0) + 100, PAGE));
    residence("two were locked", 0, 8);
    TRY(mlock2(page(4), PAGE, MLOCK_ONFAULT));
    TRY(mlock2(page(4), PAGE, 2));
    TRY(mlock(page(0), 0));
    TRY(mlock(page(0), -1ul));
    TRY(madvise(page(0), PAGE, MADV_DONTNEED));
    TRY(msync(page(0), PAGE, MS_INVALIDATE));
    TRY(munlock(page(0), 2 * PAGE));
    TRY(madvise(page(0), PAGE, MADV_DONTNEED));
    munmap(page(7), PAGE);
    TRY(mlock(page(6), 2 * PAGE));
    TRY(munlock(page(6), 2 * PAGE));
    TRY(mlock(page(10), PAGE)); /* without rights */
    TRY(mlockall(0));
    TRY(mlockall(MCL_ONFAULT));
    TRY(mlockall(8));
    TRY(munlockall());
    TRY(mlockall(MCL_FUTURE));
    map(20, 3, RW, MAP_PRIVATE);
    residence("locked from the start", 20, 3);
    TRY(mlockall(MCL_FUTURE | MCL_ONFAULT));
    map(30, 3, RW, MAP_PRIVATE);
    residence("locked when they come", 30, 3);
    TRY(munlockall());
}

static void syncing(void) {
    printf("msync\n");
    clear_all();
    TRY(msync(page(0), PAGE, 0));
    TRY(msync(page(0), PAGE, MS_SYNC));
    TRY(msync(page(0), PAGE, MS_SYNC | MS_ASYNC));
    TRY(msync(page(0), PAGE, 8));
    TRY(msync(page(0) + 1, PAGE, MS_SYNC));
    TRY(msync(page(0), 0, MS_SYNC));
    munmap(page(1), PAGE);
    TRY(msync(page(0), 2 * PAGE, MS_SYNC));
    printf("membarrier\n");
    TRY((syscall(SYS_membarrier, 0, 0, 0) & 0x19) == 0x19);
    TRY(syscall(SYS_membarrier, 0, 4, 0));
    TRY(syscall(SYS_membarrier, 3, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 16, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 1, 0, 0));
}

int main(void) {
    place = mmap((void *)0x100000000000, PAGES * PAGE, PROT_NONE, ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return 1;
    mapping();
    protecting();
    moving();
    advising();
    keeping();
    syncing();
    return 0;
}
