/* Reading into and writing from several buffers at once. */
#ifndef SYS_UIO_H
#define SYS_UIO_H

#include <sys/types.h>

struct iovec {
    void *iov_base;
    size_t iov_len;
};

ssize_t readv(int fd, const struct iovec *parts, int count);
ssize_t writev(int fd, const struct iovec *parts, int count);

/* Copy from or to the memory of another process; `flags` is 0. */
ssize_t process_vm_readv(pid_t pid, const struct iovec *ours, unsigned long our_count,
                         const struct iovec *theirs, unsigned long their_count,
                         unsigned long flags);
ssize_t process_vm_writev(pid_t pid, const struct iovec *ours, unsigned long our_count,
                          const struct iovec *theirs, unsigned long their_count,
                          unsigned long flags);

#endif
