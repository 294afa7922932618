/* Streams that a program opens. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

FILE *fdopen(int fd, const char *mode) {
    struct stream *stream = calloc(1, sizeof *stream + BUFSIZ);
    if (!stream) return NULL;
    stream->fd = fd;
    stream->writes = *mode != 'r';
    stream->buffer = (char *)(stream + 1);
    stream->next = opened_streams;
    return opened_streams = stream;
}

FILE *fopen(const char *path, const char *mode) {
    int flags = *mode == 'r'   ? O_RDONLY
                : *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                               : O_WRONLY | O_CREAT | O_APPEND;
    if (strchr(mode, 'e')) flags |= O_CLOEXEC;
    if (!strchr("rwa", *mode) || strchr(mode, '+')) {
        errno = EINVAL;
        return NULL;
    }
    int fd = open(path, flags, 0666);
    return fd < 0 ? NULL : fdopen(fd, mode);
}

/* The standard streams are never freed. */
int fclose(FILE *stream) {
    int failed = stream->writes && fflush(stream) < 0;
    failed |= close(stream->fd) < 0;
    for (struct stream **link = &opened_streams; *link; link = &(*link)->next)
        if (*link == stream) {
            *link = stream->next;
            free(stream);
            break;
        }
    return failed ? EOF : 0;
}

ssize_t getdelim(char **line, size_t *room, int end, FILE *stream) {
    size_t length = 0;
    for (int c = EOF; (length == 0 || c != end) && (c = fgetc(stream)) != EOF;) {
        if (length + 2 > *room || !*line) {
            size_t larger = *line && *room ? 2 * *room : 128;
            char *memory = realloc(*line, larger);
            if (!memory) return -1;
            *line = memory;
            *room = larger;
        }
        (*line)[length++] = (char)c;
    }
    if (length == 0) return -1;
    (*line)[length] = '\0';
    return (ssize_t)length;
}

ssize_t getline(char **line, size_t *room, FILE *stream) {
    return getdelim(line, room, '\n', stream);
}
