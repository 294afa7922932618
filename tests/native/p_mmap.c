/* Files in memory: private and shared, rights, ends, and what stores do to whom. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define NAME "/tmp/p_mmap.tmp"

static char *place;

static char *page(int number) { return place + number * PAGE; }

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    _exit(100 + number * 10 + info->si_code);
}

/* What a child finds there: a byte, or a signal and its code. */
static void look(const char *what, const char *at, int store) {
    if (fork() == 0) {
        struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        if (store) *(volatile char *)at = (char)store;
        _exit(*(volatile const char *)at);
    }
    int status;
    wait(&status);
    int code = WEXITSTATUS(status);
    if (code < 100)
        say("%s: %d\n", what, code);
    else
        say("%s: signal %d, code %d\n", what, (code - 100) / 10, (code - 100) % 10);
}

static int byte_of_file(int fd, off_t at) {
    char byte = -1;
    return pread(fd, &byte, 1, at) == 1 ? byte : -1;
}

static char *map(int first, int pages, int prot, int flags, int fd, off_t offset) {
    char *got = mmap(page(first), pages * PAGE, prot, flags | MAP_FIXED, fd, offset);
    say("map %d %d %x: %s %d\n", first, prot, flags, got == page(first) ? "ok" : "error",
        got == MAP_FAILED ? errno : 0);
    return got;
}

static void wrong(int fd, int reads, int writes) {
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1) != MAP_FAILED ? 0 : -1);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED ? 0 : -1);
    CHECK(mmap(NULL, PAGE, PROT_READ, 0, fd, 0) != MAP_FAILED ? 0 : -1);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 77, 0) != MAP_FAILED ? 0 : -1);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x1000000, fd, 0) != MAP_FAILED ? 0
                                                                                           : -1);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, -4096) != MAP_FAILED ? 0 : -1);
    map(40, 1, PROT_READ, MAP_PRIVATE, writes, 0);
    map(40, 1, PROT_READ, MAP_SHARED, writes, 0);
    map(40, 1, PROT_WRITE, MAP_SHARED, reads, 0);
    map(40, 1, PROT_READ, MAP_SHARED, reads, 0);
    TRY(mprotect(page(40), PAGE, RW));
    map(40, 1, RW, MAP_PRIVATE, reads, 0);
    TRY(mprotect(page(40), PAGE, RW | PROT_EXEC));
    map(40, 1, RW, MAP_SHARED_VALIDATE, fd, 0);
    int ends[2], directory = open("/tmp", O_RDONLY), path = open(NAME, O_PATH);
    if (pipe(ends) < 0 || directory < 0 || path < 0) _exit(98);
    map(41, 1, PROT_READ, MAP_PRIVATE, ends[0], 0);
    map(41, 1, PROT_READ, MAP_PRIVATE, directory, 0);
    map(41, 1, PROT_READ, MAP_PRIVATE, path, 0);
}

static void stores(int fd) {
    map(0, 4, RW, MAP_PRIVATE, fd, 0);
    map(10, 4, RW, MAP_SHARED, fd, 0);
    map(20, 2, PROT_READ, MAP_SHARED, fd, PAGE);
    *page(0) = 11;
    say("a private store: %d %d %d\n", *page(0), *page(10), byte_of_file(fd, 0));
    *page(11) = 12;
    say("a shared store: %d %d %d %d\n", *page(1), *page(11), *page(20), byte_of_file(fd, PAGE));
    look("a child's shared store", page(12), 13);
    say("seen: %d %d\n", *page(12), byte_of_file(fd, 2 * PAGE));
    look("a child's private store", page(1), 14);
    say("not seen: %d\n", *page(1));
    char byte = 15;
    if (pwrite(fd, &byte, 1, PAGE + 1) != 1) _exit(97);
    say("write: %d %d\n", page(11)[1], page(20)[1]);
    TRY(madvise(page(0), PAGE, MADV_DONTNEED));
    say("the private page is the file's again: %d\n", *page(0));
    TRY(msync(page(10), 4 * PAGE, MS_SYNC));
}

static void ends(int fd) {
    say("behind the end, in the last page: %d\n", page(12)[3000]);
    look("behind the last page, shared", page(13), 0);
    look("behind the last page, private", page(3), 0);
    TRY(read(fd, page(13), 1));
    TRY(ftruncate(fd, 3 * PAGE + 10));
    look("the file has grown, shared", page(13), 0);
    look("the file has grown, private", page(3), 16);
    *page(2) = 17;
    *page(12) = 18;
    TRY(ftruncate(fd, PAGE + 100));
    look("cut off, shared", page(12), 0);
    look("cut off, private", page(2), 0);
    say("cut within: %d %d\n", page(11)[0], page(11)[101]);
    TRY(ftruncate(fd, 4 * PAGE));
    say("grown again: %d %d\n", *page(12), *page(2));
    *page(13) = 19;
    TRY(close(fd));
    say("closed: %d\n", *page(13));
    TRY(unlink(NAME));
    look("unlinked", page(13), 0);
    *page(13) = 20;
    TRY(munmap(page(12), 2 * PAGE));
}

/* Private pages belong to places in the file, wherever their mapping begins. */
static void private_pages_at_an_offset(void) {
    int fd = open(NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);
    TRY(ftruncate(fd, 4 * PAGE));
    map(30, 3, RW, MAP_PRIVATE, fd, PAGE);
    *page(30) = 21, *page(31) = 22, *page(32) = 23;
    TRY(ftruncate(fd, 2 * PAGE + 10));
    say("kept: %d %d\n", *page(30), *page(31));
    look("cut off, at an offset", page(32), 0);
    TRY(ftruncate(fd, 4 * PAGE));
    say("grown again: %d %d %d\n", *page(30), *page(31), *page(32));
    *page(32) = 24;
    TRY(ftruncate(fd, 2 * PAGE));
    TRY(ftruncate(fd, 4 * PAGE));
    say("cut at a page: %d %d %d\n", *page(30), *page(31), *page(32));
    TRY(close(fd));
    TRY(unlink(NAME));
}

int main(void) {
    place = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 2500 * 4; i++) {
        char byte = (char)(i / 100 % 90 + 1);
        if (write(fd, &byte, 1) != 1) _exit(96);
    }
    wrong(fd, open(NAME, O_RDONLY), open(NAME, O_WRONLY));
    stores(fd);
    ends(fd);
    private_pages_at_an_offset();
    return 0;
}
