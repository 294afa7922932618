/* Copying from file to file without a buffer in the program. */
#ifndef SYS_SENDFILE_H
#define SYS_SENDFILE_H

#include <sys/types.h>

ssize_t sendfile(int to, int from, off_t *offset, size_t bytes);

#endif
