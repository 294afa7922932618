/* bank: threads move money between accounts, each with its own lock.
 * Shows: that two locks need an order. The total is the same after every order of the threads.
 *
 *     bank [NONCE [THREADS [TRANSFERS]]] */

#include <exam.h>
#include <threads.h>

enum { ACCOUNTS = 4, MOST = 16, OPENING_BALANCE = 1000 };

static struct account {
    mtx_t lock;
    volatile long balance;
} account[ACCOUNTS];

static int transfers = 100;

/* No other thread may touch either account until both locks are released. */
static void lock_both(struct account *one, struct account *other) {
    /* BEGIN SOLUTION lab4.deadlock */
    struct account *lower = one < other ? one : other, *higher = one < other ? other : one;
    mtx_lock(&lower->lock);
    mtx_lock(&higher->lock);
    /* END SOLUTION lab4.deadlock */
    /* PLANTED lab4.deadlock: mtx_lock(&one->lock), mtx_lock(&other->lock); */
}

static void move(struct account *from, struct account *to, long amount) {
    lock_both(from, to);
    long paid = from->balance - amount, received = to->balance + amount;
    for (volatile int audit = 0; audit < 20; audit++) continue;
    from->balance = paid;
    to->balance = received;
    mtx_unlock(&to->lock);
    mtx_unlock(&from->lock);
}

static int trade(void *number) {
    unsigned random = (unsigned)(uintptr_t)number;
    for (int i = 0; i < transfers; i++) {
        random = random * 1103515245 + 12345;
        int from = random >> 16 & 3, to = (from + 1 + (random >> 20) % (ACCOUNTS - 1)) % ACCOUNTS;
        move(&account[from], &account[to], 1 + (random >> 24) % 10);
    }
    return 0;
}

int main(int argc, char **argv) {
    thrd_t thread[MOST];
    exam_begin(argc, argv);
    int threads = argc > 2 ? atoi(argv[2]) : 3;
    if (argc > 3) transfers = atoi(argv[3]);
    if (threads < 1 || threads > MOST) errx(2, "1 to %d threads", MOST);
    for (int i = 0; i < ACCOUNTS; i++) {
        mtx_init(&account[i].lock, mtx_plain);
        account[i].balance = OPENING_BALANCE;
    }
    for (int i = 0; i < threads; i++)
        thrd_create(&thread[i], trade, (void *)(uintptr_t)(exam_nonce + i + 1));
    for (int i = 0; i < threads; i++) thrd_join(thread[i], NULL);
    long total = 0;
    for (int i = 0; i < ACCOUNTS; i++) total += account[i].balance;
    EXAM_PAGE[1] = exam_mix(total);
    exam_stop(0);
    printf("%d threads, %d transfers each: %ld in the bank\n", threads, transfers, total);
    return 0;
}
