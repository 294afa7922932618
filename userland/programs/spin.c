/* spin: loops for ever, or N times. Shows: that no program can keep the processor, and that Ctrl-C
 * reaches a program that never enters the kernel. */

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    unsigned long limit = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
    if (!limit) {
        puts("spinning; Ctrl-C ends it");
        fflush(stdout);
    }
    volatile unsigned long turns = 0;
    do turns++;
    while (turns != limit);
    printf("%lu turns\n", limit);
    return 0;
}
