/* The structure of a FILE. */
#ifndef LIB_STREAM_H
#define LIB_STREAM_H

#include <stdio.h>

#include "lock.h"

struct stream {
    int fd;
    int writes;     /* a stream has one direction */
    int unbuffered; /* write at the end of every call */
    lock_t lock;    /* guards everything below */
    int at_end, failed;
    size_t start, end;   /* buffer[start..end) is still to be written, or still to be read */
    char *buffer;        /* BUFSIZ bytes */
    struct stream *next; /* in the list of fopen's streams */
};

extern struct stream *opened_streams;

#endif
