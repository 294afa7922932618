/* What a FILE is. */
#ifndef LIB_STREAM_H
#define LIB_STREAM_H

#include <stdio.h>

#include "lock.h"

struct stream {
    int fd;
    int writes;     /* the direction: streams have one */
    int unbuffered; /* write at the end of every call */
    lock_t lock;    /* guards everything below */
    int at_end, failed;
    size_t start, end;   /* buffer[start..end) is still to be written, or still to be read */
    char *buffer;        /* BUFSIZ bytes */
    struct stream *next; /* of those that fopen has made */
};

extern struct stream *opened_streams;

#endif
