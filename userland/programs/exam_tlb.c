/* exam_tlb: stores into pages in a given order: `exam_tlb NONCE FIRST STRIDE PATTERN`.
 *
 * The letter a in PATTERN stands for page FIRST of an area, b for the page STRIDE pages further
 * on, and so on (default: 1 16 abcabd). Shows: which stores find their translation in the TLB. */

#include <exam.h>

enum { PAGE = 4096, AREA_PAGES = 1024 };

static volatile char *const area = (volatile char *)0x500000000000;

int main(int argc, char **argv) {
    long first = argc > 2 ? atol(argv[2]) : 1, stride = argc > 3 ? atol(argv[3]) : 16;
    const char *pattern = argc > 4 ? argv[4] : "abcabd";
    exam_begin(argc, argv);
    if (mmap((void *)area, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        err(1, "no area");
    exam_stop(0);
    for (const char *letter = pattern; *letter; letter++)
        area[(first + (*letter - 'a') * stride) % AREA_PAGES * PAGE] = *letter;
    exam_stop(1);
    printf("%s: stored\n", pattern);
    return 0;
}
