/* handover: two of a kind hand the turn to each other, N times there and back (default 100); or one
 * call on address spaces is made N times, and the clock is read after each. Shows: what it costs to
 * let somebody else go on, and what it costs to go on oneself in another view.
 *
 *     handover pipe [processes|threads] [N]        a byte through a pipe
 *     handover futex [processes|threads] [N]       a word, and the futex that it is
 *     handover semaphore [processes|threads] [N]   a semaphore each, made of futexes
 *     handover clock [N]                           nothing but the clock
 *     handover create [N]                          vas_create and vas_delete of an empty VAS
 *     handover attach [N]                          vas_attach and vas_detach
 *     handover switch [N]                          vas_switch into an empty VAS and out of it
 *     handover between [N]                         vas_switch between two
 *
 * Nothing is touched in between. With -t in front it also prints the nanoseconds that one took, by
 * the clock; they differ from machine to machine. A hand-over is done N times to get warm and N
 * times to be measured; null calls mark both in the trace. */

#include <err.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

static long rounds = 100;
static int timed;

static long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void report(const char *what, long times, long spent) {
    printf("%s, %ld times", what, times);
    if (timed) printf(": %ld ns each", spent / times);
    printf("\n");
}

/* ---- Hand-overs: player 0 begins, player 1 answers -------------------------------------- */

static struct board {
    int turn;
    sem_t mine[2];
} *board;
static int ends[2][2];

static void pipe_pass(int to) {
    if (write(ends[to][1], "", 1) != 1) err(1, "write");
}
static void pipe_await(int me) {
    char byte;
    if (read(ends[me][0], &byte, 1) != 1) err(1, "read");
}

static void futex_pass(int to) {
    __atomic_store_n(&board->turn, to, __ATOMIC_RELEASE);
    syscall(SYS_futex, &board->turn, FUTEX_WAKE, 1);
}
static void futex_await(int me) {
    while (__atomic_load_n(&board->turn, __ATOMIC_ACQUIRE) != me)
        syscall(SYS_futex, &board->turn, FUTEX_WAIT, !me, NULL);
}

static void semaphore_pass(int to) { sem_post(&board->mine[to]); }
static void semaphore_await(int me) { sem_wait(&board->mine[me]); }

static const struct means {
    const char *name;
    void (*pass)(int to);
    void (*await)(int me);
} all_means[] = {
    {"pipe", pipe_pass, pipe_await},
    {"futex", futex_pass, futex_await},
    {"semaphore", semaphore_pass, semaphore_await},
}, *means;

static long play(void) {
    long begun = nanoseconds();
    null_call();
    for (long i = 0; i < rounds; i++) {
        means->pass(1);
        means->await(0);
    }
    null_call();
    return nanoseconds() - begun;
}

/* One turn more than player 0 plays, so that it is asleep, not ending, while the last is timed. */
static int answer(void *unused) {
    (void)unused;
    for (long i = 0; i < 2 * rounds; i++) {
        means->await(1);
        means->pass(0);
    }
    means->await(1);
    return 0;
}

static void hand_over(int as_threads) {
    thrd_t other;
    pid_t child = 0;
    char what[64];
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || pipe(ends[0]) < 0 || pipe(ends[1]) < 0) err(1, "cannot begin");
    if (as_threads) {
        if (thrd_create(&other, answer, NULL) != thrd_success) errx(1, "cannot create a thread");
    } else if ((child = fork()) <= 0) {
        if (child < 0) err(1, "fork");
        _exit(answer(NULL));
    }
    play();
    long spent = play();
    means->pass(1);
    if (as_threads)
        thrd_join(other, NULL);
    else
        waitpid(child, NULL, 0);
    snprintf(what, sizeof what, "%s, two %s", means->name, as_threads ? "threads" : "processes");
    report(what, 2 * rounds, spent);
}

/* ---- Calls, with the clock read after each ---------------------------------------------- */

static int made(const char *name) {
    int vid = vas_create(name, 0600);
    if (vid < 0) err(1, "cannot create a VAS");
    return vid;
}

static void must(int result) {
    if (result < 0) err(1, "a call on address spaces");
}

static int one, other;

static void reading(void) {}
static void creating(void) { one = made("one"); }
static void deleting(void) { must(vas_delete(one)); }
static void attaching(void) { must(vas_attach(0, one, O_RDWR)); }
static void detaching(void) { must(vas_detach(0, one)); }
static void switching_in(void) { must(vas_switch(one)); }
static void switching_out(void) { must(vas_switch(0)); }
static void switching_over(void) { must(vas_switch(other)); }

static void no_preparation(void) {}
static void prepare_attached(void) {
    creating();
    attaching();
}
static void prepare_two(void) {
    prepare_attached();
    other = made("other");
    must(vas_attach(0, other, O_RDWR));
}

static const struct pair {
    const char *name, *first_name, *second_name;
    void (*prepare)(void), (*first)(void), (*second)(void);
} pairs[] = {
    {"clock", "the clock", "again", no_preparation, reading, reading},
    {"create", "create", "delete", no_preparation, creating, deleting},
    {"attach", "attach", "detach", creating, attaching, detaching},
    {"switch", "switch in", "switch out", prepare_attached, switching_in, switching_out},
    {"between", "to one", "to the other", prepare_two, switching_in, switching_over},
};

static void measure(const struct pair *pair) {
    long first = 0, second = 0, now, then;
    vantage_required();
    pair->prepare();
    then = nanoseconds();
    for (long i = 0; i < rounds; i++) {
        pair->first();
        now = nanoseconds();
        first += now - then;
        pair->second();
        then = nanoseconds();
        second += then - now;
    }
    report(pair->first_name, rounds, first);
    report(pair->second_name, rounds, second);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "-t") == 0) timed = 1, argc--, argv++;
    const char *name = argc > 1 ? argv[1] : "pipe";
    int as_threads = argc > 2 && strcmp(argv[2], "threads") == 0;
    if (argc > 2 && atol(argv[argc - 1]) > 0) rounds = atol(argv[argc - 1]);
    for (unsigned i = 0; i < sizeof all_means / sizeof *all_means; i++)
        if (strcmp(all_means[i].name, name) == 0) {
            means = &all_means[i];
            hand_over(as_threads);
            return 0;
        }
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(pairs[i].name, name) == 0) {
            measure(&pairs[i]);
            return 0;
        }
    errx(2, "there is no way of handing over called %s", name);
}
