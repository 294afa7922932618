/* Waiting: the futex, and a lock made of it. (Drepper, "Futexes Are Tricky", mutex 2) */

#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>

#include "syscall.h"

/* The time left until the deadline; negative seconds if it has passed. */
static struct timespec time_left(const struct timespec *deadline) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec left = {deadline->tv_sec - now.tv_sec, deadline->tv_nsec - now.tv_nsec};
    if (left.tv_nsec < 0) left.tv_sec--, left.tv_nsec += 1000000000;
    return left;
}

int futex_wait(int *word, int expected, const struct timespec *deadline) {
    struct timespec left;
    if (deadline) {
        left = time_left(deadline);
        if (left.tv_sec < 0) return ETIMEDOUT;
    }
    long result = CALL_RAW(futex, word, FUTEX_WAIT, expected, deadline ? &left : NULL);
    return result == -ETIMEDOUT ? ETIMEDOUT : 0;
}

void futex_wake(int *word, int count) { CALL_RAW(futex, word, FUTEX_WAKE, count); }

int lock_try(lock_t *lock) {
    int free = 0;
    return __atomic_compare_exchange_n(lock, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

int lock_until(lock_t *lock, const struct timespec *deadline) {
    /* BEGIN SOLUTION lab4.lock */
    /* After a wait, take the lock as "a thread may be waiting": others may be. */
    if (lock_try(lock)) return 0;
    while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE) != 0)
        if (futex_wait(lock, 2, deadline) == ETIMEDOUT) return ETIMEDOUT;
    return 0;
    /* END SOLUTION lab4.lock */
    /* PROMPT lab4.lock: try once; then sleep, not spin, until the lock is yours. 0 or ETIMEDOUT. */
}

void lock_take(lock_t *lock) { lock_until(lock, NULL); }

void lock_give(lock_t *lock) {
    /* BEGIN SOLUTION lab4.lock */
    if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2) futex_wake(lock, 1);
    /* END SOLUTION lab4.lock */
    /* PROMPT lab4.lock: make it free, and enter the kernel only if somebody may be waiting. */
}
