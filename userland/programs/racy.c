/* racy: N threads (default 4) add to one counter without a lock, ROUNDS times each (default
 * 20000). Shows: lost updates. What it prints depends on the interleaving, so run it under
 * several seeds: the same seed gives the same output. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

enum { MOST_THREADS = 26, LOG_ROOM = 64 };

static int rounds = 20000;
static volatile int counter;

/* Which thread ran: append a letter if the last one is another thread's. Without a lock as well. */
static volatile char turns[LOG_ROOM + 1];
static volatile int turns_logged;

static void log_turn(char me) {
    int n = turns_logged;
    if (n == LOG_ROOM || (n > 0 && turns[n - 1] == me)) return;
    turns[n] = me;
    turns_logged = n + 1;
}

static int count_up(void *argument) {
    char me = (char)(long)argument;
    for (int i = 0; i < rounds; i++) {
        int seen = counter;
        log_turn(me);
        counter = seen + 1; /* additions by others since `seen` was read are lost */
    }
    return 0;
}

int main(int argc, char **argv) {
    long threads = argc > 1 ? atol(argv[1]) : 4;
    if (argc > 2) rounds = atoi(argv[2]);
    if (threads < 1 || threads > MOST_THREADS) errx(2, "1 to %d threads", MOST_THREADS);

    thrd_t thread[MOST_THREADS];
    for (long i = 0; i < threads; i++)
        if (thrd_create(&thread[i], count_up, (void *)('a' + i)) != thrd_success)
            errx(1, "cannot create a thread");
    for (long i = 0; i < threads; i++) thrd_join(thread[i], NULL);

    int wanted = (int)threads * rounds;
    printf("turns   %s%s\n", (const char *)turns, turns_logged == LOG_ROOM ? "..." : "");
    printf("counter %d of %d, %d lost\n", counter, wanted, wanted - counter);
    return 0;
}
