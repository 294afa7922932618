/* C11 threads. */
#ifndef THREADS_H
#define THREADS_H

#include <stddef.h>
#include <time.h>

#define thread_local _Thread_local

enum { thrd_success, thrd_error, thrd_busy, thrd_nomem, thrd_timedout };

/* ---- Threads ------------------------------------------------------------------------- */

typedef struct thread *thrd_t;
typedef int (*thrd_start_t)(void *);

int thrd_create(thrd_t *thread, thrd_start_t start, void *argument);
int thrd_join(thrd_t thread, int *result);
int thrd_detach(thrd_t thread);
_Noreturn void thrd_exit(int result);
void thrd_yield(void);
thrd_t thrd_current(void);
int thrd_equal(thrd_t a, thrd_t b);
int thrd_sleep(const struct timespec *duration, struct timespec *left);

/* ---- Mutexes ------------------------------------------------------------------------- */

enum { mtx_plain = 0, mtx_recursive = 1, mtx_timed = 2 };

typedef struct {
    int state; /* 0 free, 1 held, 2 held and someone waits */
    int type;
    thrd_t owner; /* meaningful while held, for mtx_recursive */
    int depth;
} mtx_t;

int mtx_init(mtx_t *mutex, int type);
int mtx_lock(mtx_t *mutex);
int mtx_trylock(mtx_t *mutex);
int mtx_timedlock(mtx_t *mutex, const struct timespec *deadline);
int mtx_unlock(mtx_t *mutex);
void mtx_destroy(mtx_t *mutex);

/* ---- Condition variables ------------------------------------------------------------- */

typedef struct {
    int signals; /* counts signals, so that none is lost */
} cnd_t;

int cnd_init(cnd_t *condition);
int cnd_wait(cnd_t *condition, mtx_t *mutex);
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *deadline);
int cnd_signal(cnd_t *condition);
int cnd_broadcast(cnd_t *condition);
void cnd_destroy(cnd_t *condition);

/* ---- Once ---------------------------------------------------------------------------- */

typedef struct {
    int state; /* 0 not yet, 1 done, 2 running */
} once_flag;

#define ONCE_FLAG_INIT {0}
void call_once(once_flag *flag, void (*function)(void));

#endif
