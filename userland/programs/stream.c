/* stream: walks R times (default 10) over an array of K KiB (default 256), reading and writing
 * a word every STRIDE bytes (default 64; a multiple of 8). Shows: how far a TLB reaches. Small
 * arrays fit in it, large ones miss; with stride 4096 every access is a page of its own. */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t argument(int argc, char **argv, int which, size_t otherwise) {
    return argc > which ? strtoul(argv[which], NULL, 0) : otherwise;
}

int main(int argc, char **argv) {
    size_t bytes = argument(argc, argv, 1, 256) * 1024;
    size_t rounds = argument(argc, argv, 2, 10);
    size_t stride = argument(argc, argv, 3, 64) / sizeof(uint64_t);
    if (stride == 0) errx(2, "the stride must be at least 8 bytes");
    uint64_t *array = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (array == MAP_FAILED) err(1, "cannot map %zu bytes", bytes);

    uint64_t checksum = 0;
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < bytes / sizeof *array; i += stride) checksum += array[i] += i;
    printf("%zu KiB, %zu rounds, stride %zu: checksum %016lx\n", bytes / 1024, rounds,
           stride * sizeof *array, checksum);
    return 0;
}
