/* POSIX threads, for programs that were written for them: names for what threads.h does. A function
 * returns 0 or an error number. Attributes are not looked at. */
#ifndef PTHREAD_H
#define PTHREAD_H

#include <sched.h>
#include <threads.h>

/* ---- Threads ------------------------------------------------------------------------- */

typedef struct pthread *pthread_t;
typedef struct {
    int unused;
} pthread_attr_t;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument);
int pthread_join(pthread_t thread, void **result);
int pthread_detach(pthread_t thread);
_Noreturn void pthread_exit(void *result);
pthread_t pthread_self(void);
int pthread_equal(pthread_t a, pthread_t b);

/* ---- Mutexes and condition variables ------------------------------------------------- */

typedef mtx_t pthread_mutex_t;
typedef cnd_t pthread_cond_t;
typedef struct {
    int unused;
} pthread_mutexattr_t, pthread_condattr_t;

#define PTHREAD_MUTEX_INITIALIZER {0}
#define PTHREAD_COND_INITIALIZER {0}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int pthread_mutex_lock(pthread_mutex_t *mutex);
int pthread_mutex_trylock(pthread_mutex_t *mutex); /* EBUSY: another thread has it */
int pthread_mutex_unlock(pthread_mutex_t *mutex);
int pthread_mutex_destroy(pthread_mutex_t *mutex);

int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int pthread_cond_signal(pthread_cond_t *condition);
int pthread_cond_broadcast(pthread_cond_t *condition);
int pthread_cond_destroy(pthread_cond_t *condition);

#endif
