/* What the programs of this folder share.  Each runs on Linux and on Vantage, and must print the
 * same on both: so it prints results and errors, and never a pid or a time as such. */
#ifndef P_NATIVE_H
#define P_NATIVE_H

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One write for each line, so that the lines of several processes never mix. */
static void __attribute__((format(printf, 1, 2), unused)) say(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (write(1, line, length) != length) _exit(99);
}

/* Print a call and what came of it: its result, or the number of its error as -errno. */
#define TRY(call)                                                    \
    do {                                                             \
        errno = 0;                                                   \
        long result_ = (long)(call);                                 \
        say("%s = %ld\n", #call, result_ == -1 ? -errno : result_);  \
    } while (0)

/* The same, where only success or the error can be compared. */
#define CHECK(call)                                                       \
    do {                                                                  \
        errno = 0;                                                        \
        long result_ = (long)(call);                                      \
        say("%s: %ld\n", #call, result_ == -1 ? (long)-errno : 0L);       \
    } while (0)

static void __attribute__((unused)) sleep_ms(long milliseconds) {
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static void __attribute__((unused)) on(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

#endif
