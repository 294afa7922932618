/* sleep: wait for a number of seconds, which may have a fraction. */

#include <ctype.h>
#include <err.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    if (argc != 2) errx(2, "usage: sleep SECONDS");
    char *rest;
    struct timespec left = {strtol(argv[1], &rest, 10), 0};
    long unit = 100000000;
    if (*rest == '.')
        for (rest++; isdigit(*rest); rest++, unit /= 10) left.tv_nsec += (*rest - '0') * unit;
    if (*rest || rest == argv[1] || left.tv_sec < 0) errx(2, "%s: is no time", argv[1]);
    while (nanosleep(&left, &left) < 0);
    return 0;
}
