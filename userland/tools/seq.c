/* seq: numbers: seq LAST, seq FIRST LAST, seq FIRST STEP LAST. -s TEXT: TEXT between them. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long number(const char *word) {
    char *end;
    long value = strtol(word, &end, 10);
    if (*end || !*word) errx(2, "%s: is no number", word);
    return value;
}

int main(int argc, char **argv) {
    const char *between = "\n";
    if (argc > 2 && strcmp(argv[1], "-s") == 0) between = argv[2], argc -= 2, argv += 2;
    if (argc < 2 || argc > 4) errx(2, "usage: seq [-s TEXT] [FIRST [STEP]] LAST");
    long first = argc > 2 ? number(argv[1]) : 1, step = argc > 3 ? number(argv[2]) : 1;
    long last = number(argv[argc - 1]);
    if (step == 0) errx(2, "a step of 0 never ends");
    for (long i = first; step > 0 ? i <= last : i >= last; i += step)
        printf("%s%ld", i == first ? "" : between, i);
    if (step > 0 ? first <= last : first >= last) printf("\n");
    return 0;
}
