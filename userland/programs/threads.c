/* threads: N producers and N consumers (default 4) pass numbers through a small buffer. Shows:
 * a mutex, two condition variables, and joining. The total is the same in every order. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

enum { MOST_THREADS = 64, ROOM = 4 };

static int items_each = 200;

static struct {
    mtx_t lock; /* guards the rest */
    cnd_t not_full, not_empty;
    int items[ROOM], first, count;
} buffer;

static void put(int item) {
    mtx_lock(&buffer.lock);
    while (buffer.count == ROOM) cnd_wait(&buffer.not_full, &buffer.lock);
    buffer.items[(buffer.first + buffer.count++) % ROOM] = item;
    cnd_signal(&buffer.not_empty);
    mtx_unlock(&buffer.lock);
}

static int take(void) {
    mtx_lock(&buffer.lock);
    while (buffer.count == 0) cnd_wait(&buffer.not_empty, &buffer.lock);
    int item = buffer.items[buffer.first];
    buffer.first = (buffer.first + 1) % ROOM;
    buffer.count--;
    cnd_signal(&buffer.not_full);
    mtx_unlock(&buffer.lock);
    return item;
}

static int produce(void *unused) {
    (void)unused;
    for (int i = 1; i <= items_each; i++) put(i);
    return 0;
}

static int consume(void *unused) {
    (void)unused;
    int sum = 0;
    for (int i = 0; i < items_each; i++) sum += take();
    return sum;
}

static thrd_t start(thrd_start_t function) {
    thrd_t thread;
    if (thrd_create(&thread, function, NULL) != thrd_success) errx(1, "cannot create a thread");
    return thread;
}

int main(int argc, char **argv) {
    int pairs = argc > 1 ? atoi(argv[1]) : 4;
    if (argc > 2) items_each = atoi(argv[2]);
    if (pairs < 1 || pairs > MOST_THREADS) errx(2, "1 to %d pairs of threads", MOST_THREADS);
    mtx_init(&buffer.lock, mtx_plain);
    cnd_init(&buffer.not_full);
    cnd_init(&buffer.not_empty);

    thrd_t producers[MOST_THREADS], consumers[MOST_THREADS];
    for (int i = 0; i < pairs; i++) producers[i] = start(produce), consumers[i] = start(consume);
    long total = 0, expected = (long)pairs * items_each * (items_each + 1) / 2;
    for (int i = 0; i < pairs; i++) {
        int sum;
        thrd_join(producers[i], NULL);
        thrd_join(consumers[i], &sum);
        total += sum;
    }
    printf("%d threads passed %d numbers, sum %ld: %s\n", 2 * pairs, pairs * items_each, total,
           total == expected ? "right" : "WRONG");
    return total != expected;
}
