/* sieve: counts the primes below N (default 100000) with the sieve of Eratosthenes. Shows: a
 * loop that walks over memory with growing strides. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

static size_t count_primes(unsigned char *composite, size_t limit) {
    size_t primes = 0;
    for (size_t n = 2; n < limit; n++) {
        if (composite[n]) continue;
        primes++;
        for (size_t multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
    }
    return primes;
}

int main(int argc, char **argv) {
    size_t limit = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
    unsigned char *composite = calloc(limit, 1);
    if (!composite) err(1, "no memory for %zu numbers", limit);
    printf("%zu primes below %zu\n", count_primes(composite, limit), limit);
    return 0;
}
