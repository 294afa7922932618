/* exam_sched: threads that compete for the cores in ways that a scheduler must tell apart.
 * Shows: who got how much, and how long a thread that sleeps waits for a core afterwards.
 *
 *     exam_sched NONCE MICROSECONDS ROLE...
 *
 * A role is a letter and a nice value, such as "s0": s spins; i sleeps, and computes a little each
 * time that it wakes; b is such a one and a batch thread; g sleeps just before its slice would be over; l sleeps for the first
 * half of the time, and then spins. A half lasts so many microseconds.
 * Thread i of n, which has tid i + 2, counts its work in word 16 + i of the page; words 32 + i
 * and 64 + i have what it did in the first and the second half of the time, words 96 + i and
 * 128 + i how often it left a core to wait and lost one. */

#include <exam.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>

enum { MOST = 16, WORK = 16, FIRST_HALF = 32, SECOND_HALF = 64, WAITS = 96, LOSSES = 128 };
enum { PRIO_PROCESS, SCHED_BATCH = 3 };
enum { BEGUN, HALF, ENDED };
enum { UNIT = 100, UNITS_OF_A_MEAL = 160, NAP_NS = 20000 };

static int roles;
static long half_ns;
static struct {
    char kind;
    int nice;
} role[MOST];
static volatile int go, over;

static void sleep_ns(long ns) { nanosleep(&(struct timespec){0, ns}, NULL); }

/* About 300 instructions. */
static void work(int me) {
    for (volatile int i = 0; i < UNIT / 2; i++) continue;
    EXAM_PAGE[WORK + me]++;
}

static void play(int me) {
    switch (role[me].kind) {
    case 'i':
    case 'b':
        sleep_ns(NAP_NS);
        work(me);
        break;
    case 'g':
        for (int i = 0; i < UNITS_OF_A_MEAL / 4; i++) work(me);
        sleep_ns(NAP_NS / 20);
        break;
    default:
        work(me);
    }
}

static int live(void *number) {
    int me = (int)(intptr_t)number;
    if (role[me].nice) syscall(SYS_setpriority, PRIO_PROCESS, 0, role[me].nice);
    if (role[me].kind == 'b') syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &(int){0});
    while (!go) sleep_ns(NAP_NS);
    if (role[me].kind == 'l') sleep_ns(half_ns);
    while (!over) play(me);
    struct rusage used;
    getrusage(RUSAGE_THREAD, &used);
    EXAM_PAGE[WAITS + me] = used.ru_nvcsw;
    EXAM_PAGE[LOSSES + me] = used.ru_nivcsw;
    return 0;
}

static void half(int words, int stop) {
    sleep_ns(half_ns);
    for (int i = 0; i < roles; i++) {
        uint64_t before = words == FIRST_HALF ? 0 : EXAM_PAGE[FIRST_HALF + i];
        EXAM_PAGE[words + i] = EXAM_PAGE[WORK + i] - before;
    }
    exam_stop(stop);
}

int main(int argc, char **argv) {
    thrd_t thread[MOST];
    exam_begin(argc, argv);
    half_ns = argc > 2 ? atol(argv[2]) * 1000 : 0;
    for (; roles < MOST && roles + 3 < argc; roles++) {
        role[roles].kind = argv[roles + 3][0];
        role[roles].nice = atoi(argv[roles + 3] + 1);
        thrd_create(&thread[roles], live, (void *)(intptr_t)roles);
    }
    sleep_ns(10 * NAP_NS);
    go = 1;
    exam_stop(BEGUN);
    half(FIRST_HALF, HALF);
    half(SECOND_HALF, ENDED);
    over = 1;
    for (int i = 0; i < roles; i++) thrd_join(thread[i], NULL);
    exam_stop(ENDED + 1);
    printf("%d threads have competed\n", roles);
    return 0;
}
