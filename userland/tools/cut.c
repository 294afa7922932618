/* cut: parts of lines. -c LIST: characters; -f LIST: fields, separated by a tab or by -d C.
 * A list is like 1,3-5,7-. */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *list;
static char delimiter = '\t';

static int listed(long number) {
    for (const char *at = list; *at;) {
        char *end = (char *)at;
        long first = isdigit(*at) ? strtol(at, &end, 10) : 1, last = first;
        if (*end == '-') last = isdigit(end[1]) ? strtol(end + 1, &end, 10) : (end++, 1l << 62);
        if (first <= number && number <= last) return 1;
        if (*end && *end != ',') errx(2, "%s: is no list", list);
        at = *end ? end + 1 : end;
    }
    return 0;
}

static void cut_characters(const char *line) {
    for (long i = 0; line[i]; i++)
        if (listed(i + 1)) putchar(line[i]);
    putchar('\n');
}

/* A line without a delimiter is printed whole. */
static void cut_fields(char *line) {
    char separators[2] = {delimiter};
    if (!strchr(line, delimiter)) {
        puts(line);
        return;
    }
    int printed = 0;
    char *field;
    for (long number = 1; (field = strsep(&line, separators)); number++) {
        if (!listed(number)) continue;
        if (printed++) putchar(delimiter);
        fputs(field, stdout);
    }
    putchar('\n');
}

static void cut(FILE *file, int by_fields) {
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        if (by_fields)
            cut_fields(line);
        else
            cut_characters(line);
    }
    free(line);
}

int main(int argc, char **argv) {
    int by_fields = 0, failed = 0;
    for (int letter; (letter = getopt(argc, argv, "c:f:d:")) != -1;) switch (letter) {
        case 'c': list = optarg; break;
        case 'f': list = optarg, by_fields = 1; break;
        case 'd': delimiter = *optarg; break;
        default: return 2;
        }
    if (!list) errx(2, "usage: cut -c LIST | -f LIST [-d CHARACTER] [FILE..]");
    if (optind == argc) cut(stdin, by_fields);
    for (int i = optind; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (file)
            cut(file, by_fields), fclose(file);
        else
            warn("%s", argv[i]), failed = 1;
    }
    return failed;
}
