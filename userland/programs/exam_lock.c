/* exam_lock: threads that need a correct lock and a correct condition variable.
 * Shows: exclusion, sleep instead of spinning, time limits, and which thread a signal wakes.
 *
 *     exam_lock NONCE [exclusion THREADS ROUNDS | sleep | quiet ROUNDS | late |
 *                      handoff PAIRS ITEMS | early | wake THREADS] */

#include <exam.h>
#include <string.h>
#include <sys/resource.h>
#include <threads.h>
#include <time.h>

enum { MOST = 16, LONG = 400000, ROOM = 3, SETTLE_NS = 300000 };

static mtx_t lock;
static cnd_t not_full, not_empty;
static volatile uint64_t count, inside, violations;
static int each;
static thrd_t thread[MOST];

static void sleep_ns(long ns) { nanosleep(&(struct timespec){0, ns}, NULL); }

static void compute(int steps) {
    for (volatile int i = 0; i < steps; i++) continue;
}

static void start(int number, int threads, thrd_start_t function) {
    for (int i = number; i < number + threads; i++) thrd_create(&thread[i], function, NULL);
}

static void join(int threads) {
    for (int i = 0; i < threads; i++) thrd_join(thread[i], NULL);
}

/* ---- The lock ------------------------------------------------------------------------ */

static int add(void *unused) {
    (void)unused;
    for (int i = 0; i < each; i++) {
        mtx_lock(&lock);
        violations += inside++;
        uint64_t seen = count;
        compute(i % 8);
        count = seen + 1;
        inside--;
        mtx_unlock(&lock);
        compute(i % 3);
    }
    return 0;
}

static void exclusion(int threads, int rounds) {
    each = rounds;
    start(0, threads, add);
    join(threads);
    EXAM_PAGE[1] = exam_mix(count);
    EXAM_PAGE[2] = violations;
}

/* Prints how many microseconds of processor time the wait took. */
static int wait_for_it(void *unused) {
    (void)unused;
    mtx_lock(&lock);
    struct rusage used;
    getrusage(RUSAGE_THREAD, &used);
    mtx_unlock(&lock);
    EXAM_PAGE[1] = used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    return 0;
}

static void sleeps(void) {
    mtx_lock(&lock);
    start(0, 1, wait_for_it);
    sleep_ns(SETTLE_NS);
    compute(LONG);
    mtx_unlock(&lock);
    join(1);
}

static void quiet(int rounds) {
    for (int i = 0; i < rounds; i++) {
        mtx_lock(&lock);
        count++;
        mtx_unlock(&lock);
    }
    EXAM_PAGE[1] = exam_mix(count);
}

static int hold(void *unused) {
    (void)unused;
    mtx_lock(&lock);
    sleep_ns(4 * SETTLE_NS);
    mtx_unlock(&lock);
    return 0;
}

/* A lock that is held for longer than the caller wants to wait. */
static void late(void) {
    start(0, 1, hold);
    sleep_ns(SETTLE_NS);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SETTLE_NS;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    EXAM_PAGE[1] = mtx_timedlock(&lock, &until) == thrd_timedout;
    join(1);
    EXAM_PAGE[2] = mtx_timedlock(&lock, &until) == thrd_success;
}

/* ---- The condition variable ---------------------------------------------------------- */

static int items[ROOM], first, stored;
static uint64_t sum;

/* A thread that returns from the wait holds the mutex, so no other can get it. */
static void wait_for(cnd_t *condition) {
    cnd_wait(condition, &lock);
    violations += mtx_trylock(&lock) != thrd_busy;
}

static int put(void *unused) {
    (void)unused;
    for (int i = 1; i <= each; i++) {
        mtx_lock(&lock);
        while (stored == ROOM) wait_for(&not_full);
        items[(first + stored++) % ROOM] = i;
        violations += inside++;
        compute(5);
        inside--;
        cnd_signal(&not_empty);
        mtx_unlock(&lock);
    }
    return 0;
}

static int take(void *unused) {
    (void)unused;
    for (int i = 1; i <= each; i++) {
        mtx_lock(&lock);
        while (stored == 0) wait_for(&not_empty);
        sum += items[first];
        violations += inside++;
        first = (first + 1) % ROOM;
        stored--;
        inside--;
        cnd_signal(&not_full);
        mtx_unlock(&lock);
    }
    return 0;
}

static void handoff(int pairs, int number) {
    each = number;
    start(0, pairs, put);
    start(pairs, pairs, take);
    join(2 * pairs);
    EXAM_PAGE[1] = exam_mix(sum);
    EXAM_PAGE[2] = violations;
}

static int say_so(void *unused) {
    (void)unused;
    mtx_lock(&lock);
    count = 1;
    cnd_signal(&not_empty);
    mtx_unlock(&lock);
    return 0;
}

/* The signal comes as early as it can: its thread sleeps on the mutex and ranks higher in a
 * feedback queue than this one, which has computed. So it runs as soon as cnd_wait unlocks. */
static void early(void) {
    mtx_lock(&lock);
    start(0, 1, say_so);
    sleep_ns(SETTLE_NS);
    compute(LONG);
    while (!count) cnd_wait(&not_empty, &lock);
    EXAM_PAGE[1] = exam_mix(count);
    mtx_unlock(&lock);
    join(1);
}

static int wait_once(void *unused) {
    (void)unused;
    mtx_lock(&lock);
    cnd_wait(&not_empty, &lock);
    count++;
    mtx_unlock(&lock);
    return 0;
}

static void wake(int threads) {
    cnd_signal(&not_empty); /* no thread waits: this signal is lost */
    start(0, threads, wait_once);
    sleep_ns(SETTLE_NS);
    EXAM_PAGE[1] = count;
    mtx_lock(&lock);
    cnd_signal(&not_empty);
    mtx_unlock(&lock);
    sleep_ns(SETTLE_NS);
    EXAM_PAGE[2] = count;
    cnd_broadcast(&not_empty);
    join(threads);
    EXAM_PAGE[3] = exam_mix(count);
}

int main(int argc, char **argv) {
    exam_begin(argc, argv);
    const char *what = argc > 2 ? argv[2] : "exclusion";
    int one = argc > 3 ? atoi(argv[3]) : 2, two = argc > 4 ? atoi(argv[4]) : 50;
    mtx_init(&lock, mtx_plain);
    cnd_init(&not_full);
    cnd_init(&not_empty);
    if (strcmp(what, "exclusion") == 0) exclusion(one, two);
    if (strcmp(what, "sleep") == 0) sleeps();
    if (strcmp(what, "quiet") == 0) quiet(one);
    if (strcmp(what, "late") == 0) late();
    if (strcmp(what, "handoff") == 0) handoff(one, two);
    if (strcmp(what, "early") == 0) early();
    if (strcmp(what, "wake") == 0) wake(one);
    exam_stop(0);
    printf("%s: done\n", what);
    return 0;
}
