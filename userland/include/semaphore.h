/* Counting semaphores: a number that threads take one from and add one to, and wait while it is 0.
 * One in memory that processes share works between them, whatever `shared` says. */
#ifndef SEMAPHORE_H
#define SEMAPHORE_H

#include <time.h>

typedef struct {
    int count;   /* how many may still be taken */
    int waiting; /* how many threads sleep, or are about to */
} sem_t;

#define SEM_VALUE_MAX 0x7fffffff

/* 0, or -1 with errno set. */
int sem_init(sem_t *semaphore, int shared, unsigned count); /* EINVAL: above SEM_VALUE_MAX */
int sem_wait(sem_t *semaphore);
int sem_trywait(sem_t *semaphore); /* EAGAIN: it is 0 */
/* ETIMEDOUT at the deadline, on CLOCK_REALTIME. */
int sem_timedwait(sem_t *semaphore, const struct timespec *deadline);
int sem_post(sem_t *semaphore); /* EOVERFLOW: it is SEM_VALUE_MAX */
int sem_getvalue(sem_t *semaphore, int *count);
int sem_destroy(sem_t *semaphore);

#endif
