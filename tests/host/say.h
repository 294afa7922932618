/* Saying what a call answered: SAY(open("x", O_RDONLY)) prints the call as it is written here,
 * and its result or its error. The same program prints it on Linux and on Vantage. */
#ifndef SAY_H
#define SAY_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline long say(const char *call, long result) {
    if (result == -1)
        printf("%s: error %d, %s\n", call, errno, strerror(errno));
    else
        printf("%s: %ld\n", call, result);
    return result;
}

#define SAY(call) say(#call, (long)(call))
#define TITLE(text) printf("-- %s\n", text)

/* An address that is never mapped: page 0 is not given out. */
#define BAD ((void *)8)

static inline void fill(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        printf("cannot write %s\n", path);
        exit(1);
    }
    close(fd);
}

/* What a file holds, with its length. */
static inline void show(const char *path) {
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (length < 0)
        printf("%s: error %d\n", path, errno);
    else {
        printf("%s: %ld [", path, length);
        for (ssize_t i = 0; i < length && i < 60; i++) putchar(text[i] ? text[i] : '0');
        printf("]\n");
    }
    if (fd >= 0) close(fd);
}

#endif
