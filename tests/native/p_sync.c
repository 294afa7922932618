/* MAP_SYNC where there is no NVM, and msync and fsync on files. What a file system on a disk says of
 * MAP_SYNC beside MAP_SHARED depends on it, so most of this is asked of a memfd. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/mman.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#define MAP_SHARED_VALIDATE 3
#endif
#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define NAME "/tmp/p_sync.tmp"
#define MAP(prot, flags, fd) CHECK(mmap(NULL, PAGE, prot, flags, fd, 0) == MAP_FAILED ? -1 : 0)

int main(void) {
    int file = open(NAME, O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
    int both = memfd_create("memory", 0), folder = open("/tmp", O_RDONLY);
    char path[64];
    unlink(NAME);
    snprintf(path, sizeof path, "/proc/self/fd/%d", both);
    int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY);
    if (pipe(ends) || ftruncate(both, 4 * PAGE) || ftruncate(file, 4 * PAGE)) return 1;

    MAP(RW, MAP_SHARED_VALIDATE, file);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC, file);
    MAP(RW, MAP_SHARED_VALIDATE, both);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC, both);
    MAP(PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, reads);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC, reads);
    MAP(RW, MAP_SHARED_VALIDATE, reads);
    MAP(PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, writes);
    MAP(RW, MAP_SHARED | MAP_SYNC, both);
    MAP(RW, MAP_PRIVATE | MAP_SYNC, both);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC, -1);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC, ends[0]);
    MAP(PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, folder);
    MAP(RW, MAP_SHARED_VALIDATE | MAP_SYNC | MAP_ANONYMOUS, -1);

    char *at = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
    at[PAGE] = 'x';
    TRY(msync(at, 4 * PAGE, MS_SYNC));
    TRY(msync(at, 4 * PAGE, MS_ASYNC));
    TRY(msync(at, 4 * PAGE, MS_SYNC | MS_ASYNC));
    TRY(msync(at + 1, PAGE, MS_SYNC));
    TRY(msync(at, PAGE, 64));
    munmap(at + PAGE, PAGE);
    TRY(msync(at, 4 * PAGE, MS_SYNC));
    TRY(fsync(file));
    TRY(fdatasync(both));
    TRY(fsync(ends[0]));
    TRY(fsync(-1));
    return 0;
}
