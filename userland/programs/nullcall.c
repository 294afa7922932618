/* nullcall: enters the kernel N times (default 100000) for nothing. Shows: what the way in and
 * out costs. */

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
