/* Counting semaphores, on the futex. Who finds the count at 0 says that it waits before it sleeps,
 * so that sem_post() enters the kernel only where somebody may be asleep. */

#include <errno.h>
#include <semaphore.h>
#include <stddef.h>

#include "lock.h"

int sem_init(sem_t *semaphore, int shared, unsigned count) {
    (void)shared;
    if (count > SEM_VALUE_MAX) return errno = EINVAL, -1;
    *semaphore = (sem_t){.count = (int)count};
    return 0;
}

int sem_trywait(sem_t *semaphore) {
    int count = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);
    while (count > 0)
        if (__atomic_compare_exchange_n(&semaphore->count, &count, count - 1, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return 0;
    errno = EAGAIN;
    return -1;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
    while (sem_trywait(semaphore) < 0) {
        __atomic_fetch_add(&semaphore->waiting, 1, __ATOMIC_SEQ_CST);
        int late = futex_wait(&semaphore->count, 0, deadline) == ETIMEDOUT;
        __atomic_fetch_sub(&semaphore->waiting, 1, __ATOMIC_SEQ_CST);
        if (late) return errno = ETIMEDOUT, -1;
    }
    return 0;
}

int sem_wait(sem_t *semaphore) { return sem_timedwait(semaphore, NULL); }

int sem_post(sem_t *semaphore) {
    int count = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);
    do {
        if (count == SEM_VALUE_MAX) return errno = EOVERFLOW, -1;
    } while (!__atomic_compare_exchange_n(&semaphore->count, &count, count + 1, 0, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    if (__atomic_load_n(&semaphore->waiting, __ATOMIC_SEQ_CST) > 0)
        futex_wake(&semaphore->count, 1);
    return 0;
}

int sem_getvalue(sem_t *semaphore, int *count) {
    *count = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);
    return 0;
}

int sem_destroy(sem_t *semaphore) {
    (void)semaphore;
    return 0;
}
