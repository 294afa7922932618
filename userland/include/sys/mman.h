/* Mapping memory. */
#ifndef SYS_MMAN_H
#define SYS_MMAN_H

#include <sys/types.h>

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_SHARED_VALIDATE 0x03
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_ANON MAP_ANONYMOUS
#define MAP_GROWSDOWN 0x100
#define MAP_LOCKED 0x2000
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_STACK 0x20000
#define MAP_SYNC 0x80000
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_FAILED ((void *)-1)

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2

enum { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED };
enum { MADV_FREE = 8, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK };
enum { MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE, MADV_WIPEONFORK = 18, MADV_KEEPONFORK };
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4, MLOCK_ONFAULT = 1 };

#define MFD_CLOEXEC 0x01
#define MFD_ALLOW_SEALING 0x02
#define MFD_NOEXEC_SEAL 0x08
#define MFD_EXEC 0x10

void *mmap(void *wish, size_t bytes, int prot, int flags, int fd, off_t offset);
int mprotect(void *start, size_t bytes, int prot);
int munmap(void *start, size_t bytes);

/* A new address may follow, for MREMAP_FIXED. */
void *mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...);
int madvise(void *start, size_t bytes, int advice);
int msync(void *start, size_t bytes, int flags);
int mincore(void *start, size_t bytes, unsigned char *in_memory);
int mlock(const void *start, size_t bytes);
int mlock2(const void *start, size_t bytes, unsigned flags);
int munlock(const void *start, size_t bytes);
int mlockall(int flags);
int munlockall(void);

/* A file in memory without a name in the tree; `name` is for people who read /proc/PID/maps. */
int memfd_create(const char *name, unsigned flags);

#endif
