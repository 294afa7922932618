/* A matrix product with a thread for each address space. Every thread attaches the whole process,
 * by its pid, and with a file's mode in the place of a type: what counts of it is O_RDONLY. So the
 * VAS is for reading, and the result goes into the process's own memory, which is there as well. */

#include <mvas/vas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 12, THREADS = 4 };

static long left[SIZE][SIZE], right[SIZE][SIZE], product[SIZE][SIZE], wanted[SIZE][SIZE];
static int failures;

static void fail(const char *what, int number) {
    perror(what);
    printf("thread %d: %s failed\n", number, what);
    __atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
}

static void multiply(int first, int end, long out[SIZE][SIZE]) {
    for (int row = first; row < end; row++)
        for (int column = 0; column < SIZE; column++) {
            long sum = 0;
            for (int i = 0; i < SIZE; i++) sum += left[row][i] * right[i][column];
            out[row][column] = sum;
        }
}

static void *work(void *argument) {
    int number = (int)(long)argument;
    char name[32];
    snprintf(name, sizeof name, "matrix-%d", number);
    usleep(rand() % 2000);
    int vid = vas_create(name, 0660);
    if (vid < 0) return fail("vas_create", number), NULL;
    if (vas_attach(getpid(), vid, S_IRWXU | S_IRWXG) < 0) return fail("vas_attach", number), NULL;
    if (vas_switch(vid) < 0) return fail("vas_switch", number), NULL;
    if (active_vas() != vid) fail("active_vas", number);
    multiply(number * SIZE / THREADS, (number + 1) * SIZE / THREADS, product);
    if (vas_switch(0) < 0) return fail("the way home", number), NULL;
    if (vas_detach(getpid(), vid) < 0) fail("vas_detach", number);
    if (vas_delete(vid) < 0) fail("vas_delete", number);
    return argument;
}

int main(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < SIZE * SIZE; i++) {
        left[i / SIZE][i % SIZE] = i % 7 - 3;
        right[i / SIZE][i % SIZE] = i % 5 + 1;
        product[i / SIZE][i % SIZE] = -1;
    }
    multiply(0, SIZE, wanted);
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i)) fail("pthread_create", (int)i);
    for (long i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        if (result != (void *)i) fail("a thread", (int)i);
    }
    int wrong = 0;
    for (int i = 0; i < SIZE * SIZE; i++)
        wrong += product[i / SIZE][i % SIZE] != wanted[i / SIZE][i % SIZE];
    printf("%d threads, %d failures, %d wrong of %d\n", THREADS, failures, wrong, SIZE * SIZE);
    return wrong || failures;
}
