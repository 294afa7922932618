/* uniq: one of equal neighbouring lines. -c: with their number; -d: only lines that occur several
 * times; -u: only the others. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int counts, repeated_only, single_only;

static void print(const char *line, long times) {
    if ((repeated_only && times == 1) || (single_only && times > 1)) return;
    if (counts) printf("%7ld ", times);
    printf("%s%s", line, strchr(line, '\n') ? "" : "\n");
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "cdu")) != -1;) switch (letter) {
        case 'c': counts = 1; break;
        case 'd': repeated_only = 1; break;
        case 'u': single_only = 1; break;
        default: return 2;
        }
    FILE *file = optind < argc ? fopen(argv[optind], "r") : stdin;
    if (!file) err(1, "%s", argv[optind]);
    char *line = NULL, *before = NULL;
    size_t room = 0;
    long times = 0;
    for (; getline(&line, &room, file) >= 0; times++) {
        if (before && strcmp(before, line) == 0) continue;
        if (before) print(before, times);
        free(before);
        before = strdup(line);
        times = 0;
    }
    if (before) print(before, times);
    return 0;
}
