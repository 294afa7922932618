/* pthread.h and semaphore.h: threads with results, what they share, and a semaphore between
 * processes. Prints the same with any C library. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int sum, arrived;

static void *add(void *argument) {
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&mutex);
        sum += (int)(long)argument;
        pthread_mutex_unlock(&mutex);
    }
    pthread_mutex_lock(&mutex);
    arrived++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    if ((long)argument % 2) pthread_exit(argument);
    return argument;
}

static void threads(void) {
    pthread_t all[4], alone;
    void *result;
    int right = 0;
    for (long i = 0; i < 4; i++) pthread_create(&all[i], NULL, add, (void *)i);
    pthread_create(&alone, NULL, add, (void *)4);
    pthread_detach(alone);
    pthread_mutex_lock(&mutex);
    while (arrived < 5) pthread_cond_wait(&changed, &mutex);
    printf("a mutex that is taken: %d\n", pthread_mutex_trylock(&mutex) == EBUSY);
    pthread_mutex_unlock(&mutex);
    for (long i = 0; i < 4; i++) {
        pthread_join(all[i], &result);
        right += result == (void *)i && !pthread_equal(all[i], pthread_self());
    }
    printf("%d right results, sum %d\n", right, sum);
}

static void counts(void) {
    sem_t semaphore;
    int count;
    struct timespec past = {1, 0};
    printf("too many: %d\n", sem_init(&semaphore, 0, 0x80000000u) < 0 && errno == EINVAL);
    sem_init(&semaphore, 0, 2);
    printf("twice: %d %d\n", sem_wait(&semaphore), sem_trywait(&semaphore));
    printf("no third time: %d\n", sem_trywait(&semaphore) < 0 && errno == EAGAIN);
    printf("late: %d\n", sem_timedwait(&semaphore, &past) < 0 && errno == ETIMEDOUT);
    sem_post(&semaphore);
    sem_getvalue(&semaphore, &count);
    printf("count %d\n", count);
    sem_destroy(&semaphore);
    sem_init(&semaphore, 0, 0x7fffffff);
    printf("full: %d\n", sem_post(&semaphore) < 0 && errno == EOVERFLOW);
    sem_destroy(&semaphore);
}

static void processes(void) {
    struct {
        sem_t full, empty;
        int value;
    } *box = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int total = 0;
    sem_init(&box->full, 1, 0);
    sem_init(&box->empty, 1, 1);
    if (fork() == 0) {
        for (int i = 1; i <= 20; i++) {
            sem_wait(&box->empty);
            box->value = i;
            sem_post(&box->full);
        }
        _exit(0);
    }
    for (int i = 1; i <= 20; i++) {
        sem_wait(&box->full);
        total += box->value;
        sem_post(&box->empty);
    }
    wait(NULL);
    printf("handed over: %d\n", total);
}

static pthread_t starter;

static void *last(void *status) {
    void *result = NULL;
    pthread_join(starter, &result);
    printf("the first thread ended with %ld\n", (long)result);
    exit((int)(long)status);
}

int main(void) {
    pthread_t other;
    threads();
    counts();
    processes();
    starter = pthread_self();
    if (pthread_create(&other, NULL, last, (void *)3)) return 1;
    pthread_exit((void *)7);
}
