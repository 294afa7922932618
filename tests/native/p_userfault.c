/* userfaultfd: pages that a program fills, by other threads, for itself, for its calls. */
#include "p_native.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define NEEDED (1ul << _UFFDIO_API | 1ul << _UFFDIO_REGISTER | 1ul << _UFFDIO_UNREGISTER)
#define RANGE (1ul << _UFFDIO_COPY | 1ul << _UFFDIO_ZEROPAGE | 1ul << _UFFDIO_WAKE)
#define OURS (UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MISSING_SHMEM)

static char *content; /* four pages of letters */

static int uffd(int flags) { return syscall(SYS_userfaultfd, flags); }

static char *map(int pages) { return mmap(NULL, pages * PAGE, RW, ANON, -1, 0); }

static int agree(int fd, unsigned long features) {
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    return ioctl(fd, UFFDIO_API, &api);
}

static int add(int fd, void *start, unsigned long bytes, unsigned long mode) {
    struct uffdio_register range = {.range = {(unsigned long)start, bytes}, .mode = mode};
    int result = ioctl(fd, UFFDIO_REGISTER, &range);
    if (result == 0) say("ioctls %d\n", (range.ioctls & RANGE) == RANGE);
    return result;
}

static int take(int fd, void *start, unsigned long bytes) {
    struct uffdio_range range = {(unsigned long)start, bytes};
    return ioctl(fd, UFFDIO_UNREGISTER, &range);
}

static int wake(int fd, void *start, unsigned long bytes) {
    struct uffdio_range range = {(unsigned long)start, bytes};
    return ioctl(fd, UFFDIO_WAKE, &range);
}

static int copy(int fd, void *to, void *from, unsigned long bytes, unsigned long mode) {
    struct uffdio_copy copy = {(unsigned long)to, (unsigned long)from, bytes, mode, 77};
    int result = ioctl(fd, UFFDIO_COPY, &copy), error = errno;
    say("copied %lld\n", (long long)copy.copy);
    errno = error;
    return result;
}

static int zero(int fd, void *start, unsigned long bytes, unsigned long mode) {
    struct uffdio_zeropage zero = {{(unsigned long)start, bytes}, mode, 77};
    int result = ioctl(fd, UFFDIO_ZEROPAGE, &zero), error = errno;
    say("zeroed %lld\n", (long long)zero.zeropage);
    errno = error;
    return result;
}

static void agreement(void) {
    TRY(uffd(2 | UFFD_USER_MODE_ONLY));
    TRY(uffd(O_APPEND | UFFD_USER_MODE_ONLY));
    int fd = uffd(O_CLOEXEC | UFFD_USER_MODE_ONLY);
    TRY(fcntl(fd, F_GETFD));
    char byte[64];
    TRY(read(fd, byte, 64));
    TRY(add(fd, content, PAGE, UFFDIO_REGISTER_MODE_MISSING));
    struct pollfd polled = {fd, POLLIN, 0};
    TRY(poll(&polled, 1, 0));
    say("revents %x\n", polled.revents);
    struct uffdio_api api = {.api = 1};
    TRY(ioctl(fd, UFFDIO_API, &api));
    say("api %llx, features %llx\n", api.api, api.features);
    api = (struct uffdio_api){.api = UFFD_API, .features = 1ull << 63};
    TRY(ioctl(fd, UFFDIO_API, &api));
    say("api %llx, features %llx\n", api.api, api.features);
    api = (struct uffdio_api){.api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID};
    TRY(ioctl(fd, UFFDIO_API, &api));
    say("api %llx, has %d %d\n", api.api, (api.features & OURS) == OURS,
        (api.ioctls & NEEDED) == NEEDED);
    TRY(agree(fd, 0));
    TRY(ioctl(fd, UFFDIO_API, (void *)8));
    TRY(ioctl(fd, 0x5401, byte));
    TRY(ioctl(fd, UFFDIO_REGISTER, (void *)8));
    TRY(read(fd, byte, 31));
    TRY(write(fd, byte, 1));
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    TRY(poll(&polled, 1, 0));
    say("revents %x\n", polled.revents);
    TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
    TRY(poll(&polled, 1, 0));
    TRY(read(fd, byte, 64));
    TRY(close(fd));
}

static void ranges(void) {
    int fd = uffd(O_NONBLOCK | UFFD_USER_MODE_ONLY), other = uffd(O_NONBLOCK | UFFD_USER_MODE_ONLY);
    unsigned long missing = UFFDIO_REGISTER_MODE_MISSING;
    TRY(agree(fd, 0));
    TRY(agree(other, 0));
    char *at = map(8);
    munmap(at + 4 * PAGE, PAGE);
    TRY(add(fd, at, PAGE, 0));
    TRY(add(fd, at, PAGE, 1 << 5));
    TRY(add(fd, at, 0, missing));
    TRY(add(fd, at + 1, PAGE, missing));
    TRY(add(fd, at, PAGE + 1, missing));
    TRY(add(fd, NULL, PAGE, missing));
    TRY(add(fd, (void *)-PAGE, PAGE, missing));
    TRY(add(fd, at, 1ul << 47, missing));
    TRY(add(fd, at + 4 * PAGE, PAGE, missing));
    TRY(add(fd, at, 8 * PAGE, missing));
    TRY(add(other, at, PAGE, missing));
    TRY(add(fd, at, PAGE, missing));
    TRY(take(other, at, PAGE));
    TRY(add(other, at, PAGE, missing));
    TRY(take(fd, at + 4 * PAGE, PAGE));
    TRY(take(fd, at, 8 * PAGE));
    TRY(take(fd, at, 8 * PAGE));
    TRY(take(fd, at, 0));
    int file = open("/proc/self/exe", O_RDONLY);
    void *mapped = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
    TRY(add(fd, mapped, PAGE, missing));
    int memory = memfd_create("m", 0);
    TRY(ftruncate(memory, 4 * PAGE));
    char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, memory, 0);
    TRY(add(fd, shared, 4 * PAGE, missing));
    char *constant = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
    TRY(add(fd, constant, PAGE, missing));
    munmap(at, 8 * PAGE);
    munmap(shared, 4 * PAGE);
    close(memory);
    close(file);
    close(other);
    close(fd);
}

static void filling(void) {
    int fd = uffd(O_NONBLOCK | UFFD_USER_MODE_ONLY);
    agree(fd, 0);
    char *at = map(8);
    TRY(copy(fd, at, content, PAGE, 0));
    TRY(add(fd, at, 6 * PAGE, UFFDIO_REGISTER_MODE_MISSING));
    TRY(copy(fd, at, content, 2 * PAGE, 0));
    say("%c %c\n", at[0], at[PAGE]);
    TRY(copy(fd, at, content, PAGE, 0));
    TRY(copy(fd, at + PAGE, content, 2 * PAGE, 0));
    TRY(copy(fd, at + 3 * PAGE, content, 0, 0));
    TRY(copy(fd, at + 3 * PAGE, content, PAGE, 4));
    TRY(copy(fd, at + 3 * PAGE + 8, content, PAGE, 0));
    TRY(copy(fd, at + 3 * PAGE, content + 8, PAGE, UFFDIO_COPY_MODE_DONTWAKE));
    say("%c%c\n", at[4 * PAGE - 9], at[4 * PAGE - 8]);
    TRY(copy(fd, at + 5 * PAGE, content, 2 * PAGE, 0));
    TRY(copy(fd, at + 2 * PAGE, content, 2 * PAGE, 0));
    say("%c\n", at[2 * PAGE]);
    TRY(copy(fd, at + 4 * PAGE, (void *)8, PAGE, 0));
    TRY(zero(fd, at + 4 * PAGE, PAGE, 0));
    TRY(zero(fd, at + 4 * PAGE, 2 * PAGE, 0));
    TRY(zero(fd, at + 5 * PAGE, PAGE, 2));
    TRY(zero(fd, at + 5 * PAGE, PAGE, 0));
    TRY(zero(fd, at + 6 * PAGE, PAGE, 0));
    say("%d %d\n", at[4 * PAGE], at[5 * PAGE]);
    at[5 * PAGE] = 'w';
    TRY(madvise(at + 5 * PAGE, PAGE, MADV_DONTNEED));
    TRY(copy(fd, at + 5 * PAGE, content, PAGE, 0));
    say("%c\n", at[5 * PAGE]);
    TRY(wake(fd, at, 6 * PAGE));
    TRY(wake(fd, at, 0));
    TRY(wake(fd, at + 7 * PAGE, PAGE));
    char *moved = mremap(at + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(2));
    TRY(madvise(moved, 2 * PAGE, MADV_DONTNEED));
    TRY(copy(fd, moved, content, PAGE, 0));
    say("%d\n", moved[0]);
    munmap(at, 8 * PAGE);
    close(fd);
}

/* A thread that touches pages, and what it found there. */
struct toucher {
    char *at;
    int pages, stores;
    pid_t tid;
    char found[9];
};

static void *touch(void *given) {
    struct toucher *t = given;
    t->tid = gettid();
    for (int i = 0; i < t->pages; i++) {
        volatile char *at = t->at + i * PAGE + 5;
        if (t->stores) *at = 'S';
        t->found[i] = *at ? *at : '0';
    }
    return NULL;
}

static struct uffd_msg next(int fd) {
    struct uffd_msg message;
    struct pollfd polled = {fd, POLLIN, 0};
    while (read(fd, &message, sizeof message) != sizeof message) poll(&polled, 1, -1);
    return message;
}

static void show(struct uffd_msg message, const struct toucher *t) {
    say("event %x flags %llx page %lld own thread %d\n", message.event,
        message.arg.pagefault.flags, (message.arg.pagefault.address - (unsigned long)t->at) / PAGE,
        message.arg.pagefault.feat.ptid == (unsigned)t->tid);
}

static void demand(char *at, int flags, int stores) {
    int fd = uffd(flags | UFFD_USER_MODE_ONLY);
    agree(fd, UFFD_FEATURE_THREAD_ID);
    TRY(add(fd, at, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING));
    struct toucher t = {.at = at, .pages = 5, .stores = stores};
    pthread_t thread;
    pthread_create(&thread, NULL, touch, &t);
    show(next(fd), &t);
    char byte[32];
    if (flags & O_NONBLOCK) TRY(read(fd, byte, 32));
    TRY(copy(fd, at, content, PAGE, 0));
    show(next(fd), &t);
    TRY(copy(fd, at + PAGE, content + PAGE, PAGE, UFFDIO_COPY_MODE_DONTWAKE));
    TRY(wake(fd, at + PAGE, PAGE));
    show(next(fd), &t);
    TRY(wake(fd, at + 2 * PAGE, PAGE)); /* it comes again */
    show(next(fd), &t);
    TRY(zero(fd, at + 2 * PAGE, PAGE, 0));
    show(next(fd), &t);
    TRY(take(fd, at, 4 * PAGE));
    pthread_join(thread, NULL);
    say("found %s\n", t.found);
    close(fd);
}

static void several(void) {
    char *at = map(4);
    int fd = uffd(UFFD_USER_MODE_ONLY);
    agree(fd, UFFD_FEATURE_THREAD_ID);
    TRY(add(fd, at, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING));
    struct toucher t[3] = {{.at = at, .pages = 1}, {.at = at, .pages = 1}, {.at = at + PAGE, .pages = 1}};
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) pthread_create(&thread[i], NULL, touch, &t[i]);
    sleep_ms(100);
    struct uffd_msg messages[4];
    TRY(read(fd, messages, sizeof messages));
    TRY(copy(fd, at, content, PAGE, 0));
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    say("found %s %s\n", t[0].found, t[1].found);
    TRY(close(fd)); /* nobody fills the other page any more */
    pthread_join(thread[2], NULL);
    say("found %s\n", t[2].found);
    munmap(at, 4 * PAGE);
}

static int handled;
static void handler(int number) { handled = number; }

/* A signal comes through to a thread that waits for a page; the access is then tried again. */
static void interrupted(void) {
    char *at = map(1);
    int fd = uffd(UFFD_USER_MODE_ONLY);
    agree(fd, 0);
    TRY(add(fd, at, PAGE, UFFDIO_REGISTER_MODE_MISSING));
    on(SIGUSR1, handler, 0);
    struct toucher t = {.at = at, .pages = 1};
    pthread_t thread;
    pthread_create(&thread, NULL, touch, &t);
    show(next(fd), &t);
    pthread_kill(thread, SIGUSR1);
    show(next(fd), &t);
    say("handled %d\n", handled == SIGUSR1);
    TRY(copy(fd, at, content, PAGE, 0));
    pthread_join(thread, NULL);
    say("found %s\n", t.found);
    munmap(at, PAGE);
    close(fd);
}

static void children(void) {
    char *at = map(2);
    int fd = uffd(O_NONBLOCK | UFFD_USER_MODE_ONLY), status;
    agree(fd, 0);
    TRY(add(fd, at, 2 * PAGE, UFFDIO_REGISTER_MODE_MISSING));
    TRY(copy(fd, at, content, PAGE, 0));
    if (fork() == 0) { /* its memory has no filler; the descriptor fills the parent's */
        say("child %c %d\n", at[0], at[PAGE]);
        TRY(copy(fd, at + PAGE, content + PAGE, PAGE, 0));
        say("child %d\n", at[PAGE]);
        _exit(0);
    }
    wait(&status);
    say("parent %c\n", at[PAGE]);
    munmap(at, 2 * PAGE);
    close(fd);
}

/* Calls that meet a missing page. */
static void calls(int flags) {
    char *at = map(4);
    int fd = uffd(flags), ends[2];
    if (fd < 0) {
        say("refused %d\n", errno);
        return;
    }
    agree(fd, 0);
    TRY(pipe(ends));
    TRY(write(ends[1], "hello", 5));
    TRY(add(fd, at, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING));
    if (flags & UFFD_USER_MODE_ONLY) {
        TRY(read(ends[0], at, 5));
        TRY(write(ends[1], at, 5));
        TRY(open(at, O_RDONLY));
        TRY(zero(fd, at, PAGE, 0));
        TRY(read(ends[0], at, 5));
        say("%s\n", at);
    } else {
        int status;
        if (fork() == 0) { /* the descriptor fills the parent's memory from here as well */
            struct uffdio_zeropage zero = {{(unsigned long)at, PAGE}, 0, 0};
            struct uffdio_copy copy = {(unsigned long)at + PAGE, (unsigned long)content, PAGE, 0, 0};
            if (next(fd).arg.pagefault.address != (unsigned long)at) _exit(1);
            if (ioctl(fd, UFFDIO_ZEROPAGE, &zero) != 0) _exit(2);
            if (next(fd).arg.pagefault.address != (unsigned long)at + PAGE) _exit(3);
            _exit(ioctl(fd, UFFDIO_COPY, &copy) == 0 ? 0 : 4);
        }
        TRY(read(ends[0], at, 5));
        say("%s\n", at);
        TRY(write(ends[1], at + PAGE, 5));
        wait(&status);
        say("filler's status %d\n", status);
        TRY(read(ends[0], at, 5));
        say("%s\n", at);
    }
    munmap(at, 4 * PAGE);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

int main(void) {
    int fd = uffd(UFFD_USER_MODE_ONLY);
    if (fd < 0) {
        say("not here: no userfaultfd\n");
        return 0;
    }
    close(fd);
    content = map(4);
    for (int i = 0; i < 4; i++) memset(content + i * PAGE, "abcd"[i], PAGE);
    agreement();
    ranges();
    filling();
    demand(map(5), 0, 0);
    demand(map(5), O_NONBLOCK, 1);
    int memory = memfd_create("m", 0);
    TRY(ftruncate(memory, 5 * PAGE));
    demand(mmap(NULL, 5 * PAGE, RW, MAP_SHARED, memory, 0), 0, 0);
    several();
    interrupted();
    children();
    calls(UFFD_USER_MODE_ONLY);
    calls(0);
    return 0;
}
