/* POSIX threads, made of C11's. A thread of C11 has an int as its result and one of POSIX a pointer,
 * so each has a record more. The thread and whoever may join it own the record together. */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct pthread {
    thrd_t thread;
    void *(*start)(void *);
    void *argument, *result;
    int owners;
};

/* The first thread's record is no memory of malloc, so it has an owner that never lets go. */
static struct pthread first = {.owners = 3};
static thread_local struct pthread *self = &first;

static void disown(struct pthread *record) {
    if (__atomic_sub_fetch(&record->owners, 1, __ATOMIC_ACQ_REL) == 0) free(record);
}

pthread_t pthread_self(void) {
    if (self == &first) first.thread = thrd_current();
    return self;
}
int pthread_equal(pthread_t a, pthread_t b) { return a == b; }

_Noreturn void pthread_exit(void *result) {
    self->result = result;
    disown(self);
    thrd_exit(0);
}

static int run(void *record) {
    self = record;
    pthread_exit(self->start(self->argument));
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
    (void)attributes;
    struct pthread *made = malloc(sizeof *made);
    if (!made) return EAGAIN;
    *made = (struct pthread){.start = start, .argument = argument, .owners = 2};
    if (thrd_create(&made->thread, run, made) != thrd_success) {
        free(made);
        return EAGAIN;
    }
    *thread = made;
    return 0;
}

int pthread_join(pthread_t thread, void **result) {
    thrd_join(thread->thread, NULL);
    if (result) *result = thread->result;
    disown(thread);
    return 0;
}

int pthread_detach(pthread_t thread) {
    thrd_detach(thread->thread);
    disown(thread);
    return 0;
}

/* ---- Mutexes and condition variables ------------------------------------------------- */

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    (void)attributes;
    return mtx_init(mutex, mtx_plain);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    return mtx_trylock(mutex) == thrd_success ? 0 : EBUSY;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) { return mtx_lock(mutex); }
int pthread_mutex_unlock(pthread_mutex_t *mutex) { return mtx_unlock(mutex); }

int pthread_mutex_destroy(pthread_mutex_t *mutex) {
    mtx_destroy(mutex);
    return 0;
}

int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes) {
    (void)attributes;
    return cnd_init(condition);
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    return cnd_wait(condition, mutex);
}

int pthread_cond_signal(pthread_cond_t *condition) { return cnd_signal(condition); }
int pthread_cond_broadcast(pthread_cond_t *condition) { return cnd_broadcast(condition); }

int pthread_cond_destroy(pthread_cond_t *condition) {
    cnd_destroy(condition);
    return 0;
}
