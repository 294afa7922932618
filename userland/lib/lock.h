/* A lock on one word: the first half of every mutex, and what guards malloc and the streams. */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include <time.h>

/* 0 free, 1 held, 2 held and a thread may be waiting (so the holder must wake one). */
typedef int lock_t;

void lock_take(lock_t *lock);
void lock_give(lock_t *lock);

/* Take the lock if it is free: 1 if it was. */
int lock_try(lock_t *lock);

/* Wait for the lock at most until the deadline (NULL: for ever). 0, or ETIMEDOUT. */
int lock_until(lock_t *lock, const struct timespec *deadline);

/* Sleep while *word == expected, at most until the deadline on CLOCK_REALTIME (NULL: for ever).
 * May return early. 0, or ETIMEDOUT. */
int futex_wait(int *word, int expected, const struct timespec *deadline);
void futex_wake(int *word, int count);

#endif
