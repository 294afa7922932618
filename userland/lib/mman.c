/* Memory: mapping, moving, locking, releasing. The wrappers of mmap and munmap are in unistd.c. */

#include <stdarg.h>
#include <sys/mman.h>

#include "syscall.h"

void *mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...) {
    va_list args;
    va_start(args, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
    va_end(args);
    return (void *)CALL(mremap, old, old_bytes, new_bytes, flags, target, 0);
}

int madvise(void *start, size_t bytes, int advice) {
    return (int)CALL(madvise, start, bytes, advice);
}
int msync(void *start, size_t bytes, int flags) { return (int)CALL(msync, start, bytes, flags); }
int mincore(void *start, size_t bytes, unsigned char *in_memory) {
    return (int)CALL(mincore, start, bytes, in_memory);
}

int mlock(const void *start, size_t bytes) { return (int)CALL(mlock, start, bytes); }
int mlock2(const void *start, size_t bytes, unsigned flags) {
    return (int)CALL(mlock2, start, bytes, flags);
}
int munlock(const void *start, size_t bytes) { return (int)CALL(munlock, start, bytes); }
int mlockall(int flags) { return (int)CALL(mlockall, flags); }
int munlockall(void) { return (int)CALL(munlockall); }

int memfd_create(const char *name, unsigned flags) {
    return (int)CALL(memfd_create, name, flags);
}
