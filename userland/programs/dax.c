/* dax: a file in NVM, mapped with MAP_SYNC; a later run finds what this one made durable.
 * Shows: `run.py exec --nvm disk.nvm:4 dax 7`, then `... dax` on the same file. */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

int main(int argc, char **argv) {
    const char *path = "/nvm/numbers";
    int fd = open(path, argc > 1 ? O_RDWR | O_CREAT : O_RDWR, 0600);
    if (fd < 0) err(1, "cannot open %s", path);
    if (argc > 1 && ftruncate(fd, PAGE) < 0) err(1, "cannot resize %s", path);
    long *at = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if (at == MAP_FAILED) err(1, "cannot map %s", path);
    if (argc > 1) {
        at[1] = atol(argv[1]);
        __asm__ volatile("clflush (%0)\n\tsfence" : : "r"(at) : "memory");
    }
    printf("%s holds %ld\n", path, at[1]);
    return 0;
}
