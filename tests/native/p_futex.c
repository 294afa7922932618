/* Futexes: what each operation returns, and what becomes of those whose owner has ended. */
#include "p_native.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>

static uint32_t word[4];

static long futex(uint32_t *at, int op, long value, long timeout, uint32_t *other, long third) {
    return syscall(SYS_futex, at, op, value, timeout, other, third);
}

static void *sleeper(void *bits) {
    int op = bits ? FUTEX_WAIT_BITSET : FUTEX_WAIT;
    futex(&word[0], op, 0, 0, NULL, (long)bits);
    return NULL;
}

#define WITH(bits, call)                                                              \
    do {                                                                              \
        pthread_t threads_[3];                                                        \
        word[0] = 0;                                                                  \
        for (int i = 0; i < 3; i++) pthread_create(&threads_[i], NULL, sleeper, bits); \
        sleep_ms(60);                                                                 \
        TRY(call);                                                                    \
        word[0] = 1;                                                                  \
        futex(&word[0], FUTEX_WAKE, INT_MAX, 0, NULL, 0);                             \
        futex(&word[1], FUTEX_WAKE, INT_MAX, 0, NULL, 0);                             \
        for (int i = 0; i < 3; i++) pthread_join(threads_[i], NULL);                  \
    } while (0)

static void waking(void) {
    WITH(NULL, futex(&word[0], FUTEX_WAKE, 0, 0, NULL, 0));
    WITH(NULL, futex(&word[0], FUTEX_WAKE, 2, 0, NULL, 0));
    WITH(NULL, futex(&word[0], FUTEX_WAKE, -1, 0, NULL, 0));
    WITH((void *)6, futex(&word[0], FUTEX_WAKE_BITSET, 9, 0, NULL, 1));
    WITH((void *)6, futex(&word[0], FUTEX_WAKE_BITSET, 9, 0, NULL, 4));
    WITH(NULL, futex(&word[0], FUTEX_REQUEUE, 1, 1, &word[1], 0));
    WITH(NULL, futex(&word[0], FUTEX_CMP_REQUEUE, 1, 9, &word[1], 0));
    WITH(NULL, futex(&word[0], FUTEX_CMP_REQUEUE, 1, 9, &word[1], 5));
    WITH(NULL, futex(&word[1], FUTEX_WAKE_OP, 1, 2, &word[0],
                     FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)));
    say("%u\n", word[0]);
}

static void errors(void) {
    struct timespec none = {0, 0}, bad = {0, 1000000000};
    word[0] = 0;
    TRY(futex(&word[0], FUTEX_WAIT, 1, 0, NULL, 0));
    TRY(futex(&word[0], FUTEX_WAIT, 0, (long)&none, NULL, 0));
    TRY(futex(&word[0], FUTEX_WAIT, 0, (long)&bad, NULL, 0));
    TRY(futex(&word[0], FUTEX_WAIT_BITSET, 0, (long)&none, NULL, ~0u));
    TRY(futex(&word[0], FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, (long)&none, NULL, ~0u));
    TRY(futex(&word[0], FUTEX_WAIT_BITSET, 0, 0, NULL, 0));
    TRY(futex(&word[0], FUTEX_WAKE_BITSET, 0, 0, NULL, 0));
    TRY(futex((uint32_t *)((char *)word + 1), FUTEX_WAKE, 1, 0, NULL, 0));
    TRY(futex(&word[0], FUTEX_REQUEUE, -1, 1, &word[1], 0));
    TRY(futex(&word[0], 77, 0, 0, NULL, 0));
}

static struct robust {
    struct robust *next;
    uint32_t lock;
} held[2];

static void *ends_holding(void *unused) {
    static struct {
        struct robust *list;
        long offset;
        struct robust *pending;
    } head;
    (void)unused;
    head.list = &held[0], head.offset = offsetof(struct robust, lock), head.pending = &held[1];
    held[0].next = (struct robust *)&head;
    TRY(syscall(SYS_set_robust_list, &head, 23));
    TRY(syscall(SYS_set_robust_list, &head, 24));
    held[0].lock = syscall(SYS_gettid) | FUTEX_WAITERS;
    held[1].lock = syscall(SYS_gettid);
    syscall(SYS_exit, 0);
    return NULL;
}

static void robust(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, ends_holding, NULL);
    // Not joined: it ends behind its C library's back. Of its locks, the pending one comes last.
    while (!(__atomic_load_n(&held[1].lock, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED)) sched_yield();
    say("%x %x\n", held[0].lock, held[1].lock);
}

int main(void) {
    waking();
    errors();
    robust();
}
