/* tail: the last lines (-n, 10) of files; -n +5 means from line 5 on. -5 means -n 5. */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_from(FILE *file, long first) {
    char *line = NULL;
    size_t room = 0;
    for (long number = 1; getline(&line, &room, file) >= 0; number++)
        if (number >= first) fputs(line, stdout);
    free(line);
}

/* A ring of the last lines seen. */
static void print_last(FILE *file, size_t count) {
    char **ring = calloc(count + 1, sizeof *ring);
    size_t *rooms = calloc(count + 1, sizeof *rooms), at = 0;
    if (!ring || !rooms) err(1, "%zu lines", count);
    while (count && getline(&ring[at % count], &rooms[at % count], file) >= 0) at++;
    for (size_t i = at > count ? at - count : 0; i < at; i++) fputs(ring[i % count], stdout);
    for (size_t i = 0; i < count; i++) free(ring[i]);
    free(ring);
    free(rooms);
}

static void print(FILE *file, const char *wish) {
    if (*wish == '+')
        print_from(file, atol(wish + 1));
    else
        print_last(file, (size_t)labs(atol(wish)));
}

int main(int argc, char **argv) {
    const char *wish = "10";
    int failed = 0;
    if (argc > 1 && argv[1][0] == '-' && isdigit(argv[1][1])) wish = argv[1] + 1, optind = 2;
    for (int letter; (letter = getopt(argc, argv, "n:")) != -1;) {
        if (letter == '?') return 2;
        wish = optarg;
    }
    if (optind == argc) print(stdin, wish);
    for (int i = optind; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            warn("%s", argv[i]);
            failed = 1;
            continue;
        }
        if (argc - optind > 1) printf("%s==> %s <==\n", i > optind ? "\n" : "", argv[i]);
        print(file, wish);
        fclose(file);
    }
    return failed;
}
