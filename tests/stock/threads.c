/* What any program asks of a C library: memory, text, numbers, threads, signals. Built with musl
 * and with glibc, statically, by compilers that know nothing of Vantage. */

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 200, BLOCKS = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static int turn;
static long total;
static _Thread_local int own;

static void *count(void *argument) {
    long number = (long)argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        total += number;
        own++;
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    while (turn != number) pthread_cond_wait(&turn_changed, &lock);
    printf("thread %ld counted to %d\n", number, own);
    turn++;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&lock);
    return (void *)(number * number);
}

static void threads(void) {
    pthread_t thread[THREADS];
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, count, (void *)i)) puts("no thread"), exit(1);
    long squares = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(thread[i], &result);
        squares += (long)result;
    }
    printf("total %ld, squares %ld, own %d\n", total, squares, own);
}

/* Blocks of many sizes, the large ones by mmap, freed in another order. */
static void memory(void) {
    char *block[BLOCKS];
    unsigned long sum = 0;
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)(i * 37 % 1000 + 1) * (i % 50 == 0 ? 400 : 1);
        block[i] = malloc(size);
        memset(block[i], i, size);
        sum += (unsigned char)block[i][size - 1];
    }
    for (int i = 0; i < BLOCKS; i++) free(block[i * 7 % BLOCKS]);
    char *text = calloc(1, 1);
    for (int i = 0; i < 300; i++) {
        text = realloc(text, strlen(text) + 8);
        sprintf(text + strlen(text), "%d,", i % 10);
    }
    printf("memory %lu, text %zu\n", sum, strlen(text));
    free(text);
}

static void numbers(void) {
    double sum = 0;
    for (int i = 1; i <= 1000; i++) sum += 1.0 / i / i;
    printf("%.10f %.10f %e %g\n", sqrt(6 * sum), sin(1) * exp(2), 1 / 3.0, pow(2, 0.5));
    printf("%d %a %.3Lf %s\n", (int)lrint(2.5), 1.5, 10.0L / 3, isnan(NAN) ? "nan" : "?");
    printf("%s %ld\n", strtod("1e-5", NULL) == 1e-5 ? "same" : "other", strtol("-7f", NULL, 16));
}

static volatile sig_atomic_t heard;
static sigjmp_buf back;

static void hear(int signal) { heard = heard * 100 + signal; }
static void escape(int signal) { siglongjmp(back, signal); }

static void signals(void) {
    struct sigaction action = {.sa_handler = hear};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    printf("heard %d\n", heard);
    alarm(1);
    pause();
    printf("heard %d\n", heard);
    signal(SIGSEGV, escape);
    int why = sigsetjmp(back, 1);
    if (!why) *(volatile int *)8 = 1;
    printf("back by signal %d\n", why);
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void library(void) {
    int values[100];
    char text[64];
    struct tm date;
    time_t moment = 1000000000;
    for (int i = 0; i < 100; i++) values[i] = i * 7919 % 1009;
    qsort(values, 100, sizeof *values, by_value);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&moment, &date));
    printf("%d %d %d, %s\n", values[0], values[50], values[99], text);
    FILE *file = tmpfile();
    fprintf(file, "kept %d", 42);
    rewind(file);
    printf("%s\n", fgets(text, sizeof text, file));
    fclose(file);
    printf("%s\n", getenv("HOME") ? getenv("HOME") : "no home");
}

int main(void) {
    memory();
    numbers();
    threads();
    signals();
    library();
    return 0;
}
