/* Resource limits that limit, stacks that grow, what exec takes, and what a process has used. */
#include "p_native.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE 4096L
#define MIB (1L << 20)

static sigjmp_buf back;
static volatile int signalled;
static char other[65536];

static void jump(int number) {
    signalled = number;
    siglongjmp(back, 1);
}

/* Which signal a store gets, 0: none. */
static int store(volatile char *at) {
    signalled = 0;
    if (sigsetjmp(back, 1) == 0) *at = 1;
    return signalled;
}

static char *anonymous(long bytes, int prot) {
    return mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void limit(int kind, long soft) {
    struct rlimit both;
    getrlimit(kind, &both);
    both.rlim_cur = soft;
    CHECK(setrlimit(kind, &both));
}

#define CHILD(what, ...)                                       \
    do {                                                       \
        say("-- %s\n", what);                                  \
        if (fork() == 0) {                                     \
            __VA_ARGS__;                                       \
            _exit(0);                                          \
        }                                                      \
        int status_;                                           \
        wait(&status_);                                        \
        say("-- signal %d exit %d\n", WTERMSIG(status_), WEXITSTATUS(status_)); \
    } while (0)

static __attribute__((noinline)) void eat(long bytes) {
    volatile char pad[PAGE];
    memset((void *)pad, 1, sizeof pad);
    if (bytes > PAGE) eat(bytes - PAGE);
    __asm__ volatile("" ::: "memory");
}

static void stacks(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    CHILD("12 MiB of 64", limit(RLIMIT_STACK, 64 * MIB); eat(12 * MIB));
    CHILD("3 MiB of 1", limit(RLIMIT_STACK, 1 * MIB); eat(3 * MIB));
    CHILD("all of memory", limit(RLIMIT_STACK, RLIM_INFINITY); eat(10 * MIB);
          say("a mapping besides: %d\n", anonymous(MIB, 3) != MAP_FAILED));
}

static void growing_down(void) {
    char *hole = anonymous(4 * MIB, 0);
    munmap(hole, 4 * MIB);
    char *top = mmap(hole + 3 * MIB, 2 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED,
                     -1, 0);
    say("grows down: %d\n", top == hole + 3 * MIB);
    say("one below: %d\n", store(top - 1));
    say("ten below: %d\n", store(top - 10 * PAGE));
    say("above: %d\n", store(top + PAGE));
    TRY(munmap(top - 10 * PAGE, 12 * PAGE));
    char *plain = anonymous(4 * PAGE, 3);
    munmap(plain, 2 * PAGE);
    say("a plain one: %d\n", store(plain + PAGE));
}

static void over_a_hole(void) {
    char *p = anonymous(4 * PAGE, 3);
    munmap(p + 2 * PAGE, PAGE);
    TRY(mprotect(p, 4 * PAGE, PROT_READ));
    say("before the hole %d %d, behind %d\n", store(p), store(p + PAGE), store(p + 3 * PAGE));
    TRY(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ));
    say("behind %d\n", store(p + 3 * PAGE));
    TRY(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE));
    say("again %d\n", store(p + PAGE));
}

static void memory(void) {
    char *reserved = anonymous(4 * MIB, 0);
    CHILD("AS", limit(RLIMIT_AS, 64 * MIB); CHECK((long)anonymous(100 * MIB, 3));
          CHECK((long)anonymous(100 * MIB, 0)); CHECK((long)anonymous(4 * MIB, 3));
          CHECK((long)mremap(reserved, 4 * MIB, 100 * MIB, MREMAP_MAYMOVE)));
    CHILD("DATA", limit(RLIMIT_DATA, 2 * MIB); CHECK((long)sbrk(4 * MIB));
          CHECK((long)anonymous(4 * MIB, 3)); CHECK((long)anonymous(4 * MIB, 1));
          CHECK(mprotect(reserved, 4 * MIB, 3));
          CHECK((long)mmap(NULL, 4 * MIB, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
    CHILD("MEMLOCK", char *p = anonymous(4 * PAGE, 3); limit(RLIMIT_MEMLOCK, 2 * PAGE);
          CHECK(mlock(p, 3 * PAGE)); CHECK(mlock(p, 2 * PAGE)); CHECK(mlock(p, 2 * PAGE));
          CHECK(mlock(p + 2 * PAGE, PAGE)); CHECK(munlock(p, PAGE));
          CHECK(mlock(p + 2 * PAGE, PAGE)); CHECK(mlockall(MCL_CURRENT));
          CHECK((long)mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
          limit(RLIMIT_MEMLOCK, 0); CHECK(mlock(p, PAGE)); CHECK(mlockall(MCL_FUTURE));
          CHECK((long)mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0)));
}

static void queues_and_time(void) {
    CHILD("SIGPENDING", limit(RLIMIT_SIGPENDING, 0); sigset_t all; sigfillset(&all);
          sigprocmask(SIG_BLOCK, &all, NULL); union sigval value = {0};
          CHECK(sigqueue(getpid(), SIGRTMIN + 1, value)); CHECK(sigqueue(getpid(), SIGUSR1, value));
          CHECK(kill(getpid(), SIGRTMIN + 2)); CHECK(kill(getpid(), SIGUSR2)));
    CHILD("NICE", limit(RLIMIT_NICE, 0); CHECK(setpriority(PRIO_PROCESS, 0, 5));
          CHECK(setpriority(PRIO_PROCESS, 0, 4)));
}

static void arguments(char *self) {
    static char *many[5004], *big[304], text[1000];
    memset(text, 'a', sizeof text - 1);
    for (int i = 0; i < 5000; i++) many[i] = "x";
    for (int i = 0; i < 300; i++) big[i] = text;
    CHILD("many", execv(self, many); _exit(errno));
    CHILD("300 KB", execv(self, big); _exit(errno));
    char *longest = anonymous(64 * PAGE, 3);
    memset(longest, 'b', 32 * PAGE - 1);
    char *one[] = {"x", "y", longest, NULL};
    CHILD("one of 128 KiB", execv(self, one); _exit(errno));
    longest[32 * PAGE - 1] = 'b';
    CHILD("a byte more", execv(self, one); _exit(errno));
    CHILD("a quarter of the stack", limit(RLIMIT_STACK, 1 * MIB); execv(self, big); _exit(errno));
    many[0] = NULL;
    CHILD("none", execv(self, many); _exit(errno));
}

static void usage(void) {
    struct rusage before, after, child;
    getrusage(RUSAGE_SELF, &before);
    char *p = anonymous(300 * PAGE, 3);
    for (int i = 0; i < 300; i++) p[i * PAGE] = 1;
    getrusage(RUSAGE_SELF, &after);
    say("300 pages: %d, at once %d\n", after.ru_minflt - before.ru_minflt >= 290,
        after.ru_maxrss >= 1200);
    munmap(p, 300 * PAGE);
    getrusage(RUSAGE_SELF, &before);
    say("given back: %d\n", before.ru_maxrss >= after.ru_maxrss);
    if (fork() == 0) {
        p = anonymous(500 * PAGE, 3);
        for (int i = 0; i < 500; i++) p[i * PAGE] = 1;
        _exit(0);
    }
    wait4(-1, NULL, 0, &child);
    getrusage(RUSAGE_CHILDREN, &after);
    say("a child: %d %d, of children %d\n", child.ru_minflt >= 500, child.ru_maxrss >= 2000,
        after.ru_maxrss >= child.ru_maxrss && after.ru_minflt >= child.ru_minflt);
}

int main(int count, char **words) {
    if (count > 2) return 41;
    if (count == 1 && words[0][0] == 0) return 42;
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    on(SIGSEGV, jump, SA_ONSTACK | SA_NODEFER);
    growing_down();
    over_a_hole();
    on(SIGSEGV, SIG_DFL, 0);
    stacks();
    memory();
    queues_and_time();
    arguments("/proc/self/exe");
    usage();
    return 0;
}
