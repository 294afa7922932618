/* head: the first lines (-n, 10) or bytes (-c) of files. -5 means -n 5. */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void print(FILE *file, long lines, long bytes) {
    for (int c; (bytes ? bytes-- > 0 : lines > 0) && (c = getc(file)) != EOF;) {
        putchar(c);
        if (c == '\n') lines--;
        if (bytes == 0 && lines == 0) break;
    }
}

int main(int argc, char **argv) {
    long lines = 10, bytes = 0;
    int failed = 0;
    if (argc > 1 && argv[1][0] == '-' && isdigit(argv[1][1])) lines = atol(argv[1] + 1), optind = 2;
    for (int letter; (letter = getopt(argc, argv, "n:c:")) != -1;) switch (letter) {
        case 'n': lines = atol(optarg); break;
        case 'c': bytes = atol(optarg), lines = 0; break;
        default: return 2;
        }
    if (optind == argc) print(stdin, lines, bytes);
    for (int i = optind; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            warn("%s", argv[i]);
            failed = 1;
            continue;
        }
        if (argc - optind > 1) printf("%s==> %s <==\n", i > optind ? "\n" : "", argv[i]);
        print(file, lines, bytes);
        fclose(file);
    }
    return failed;
}
