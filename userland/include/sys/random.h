/* Random bytes from the kernel. On Vantage they come from the run's seed. */
#ifndef SYS_RANDOM_H
#define SYS_RANDOM_H

#include <sys/types.h>

ssize_t getrandom(void *buffer, size_t bytes, unsigned flags);

#endif
