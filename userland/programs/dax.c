/* dax: a file in NVM, mapped with MAP_SYNC; a later run finds what this one made durable.
 * Shows: `run.py exec --nvm disk.nvm:4 dax set 7`, then `... dax get` on the same file. */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

int main(int argc, char **argv) {
    const char *path = "/nvm/numbers";
    if (argc < 2) {
        puts("usage: dax set N | get");
        return 0;
    }
    int sets = argc > 2, fd = open(path, sets ? O_RDWR | O_CREAT : O_RDWR, 0600);
    if (fd < 0) err(1, "cannot open %s", path);
    if (sets && ftruncate(fd, PAGE) < 0) err(1, "cannot resize %s", path);
    long *at = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if (at == MAP_FAILED) err(1, "cannot map %s", path);
    if (sets) {
        at[1] = atol(argv[2]);
        __asm__ volatile("clflush (%0)\n\tsfence" : : "r"(at) : "memory");
    }
    printf("%s holds %ld\n", path, at[1]);
    return 0;
}
