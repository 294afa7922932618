/* pages: maps N pages (default 1000) and writes a byte in each. Shows: demand paging, one fault
 * a page. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

int main(int argc, char **argv) {
    size_t pages = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    volatile char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) err(1, "cannot map %zu pages", pages);
    for (size_t i = 0; i < pages; i++) memory[i * PAGE] = 1;
    printf("%zu pages touched\n", pages);
    return 0;
}
