/* nullcall: makes N system calls (default 100000) that do nothing. Shows: the cost of entering and
 * leaving the kernel. */

#include <stdio.h>
#include <stdlib.h>
#include <vantage.h>

int main(int argc, char **argv) {
    vantage_required();
    long calls = argc > 1 ? atol(argv[1]) : 100000;
    for (long i = 0; i < calls; i++) null_call();
    printf("%ld null calls\n", calls);
    return 0;
}
