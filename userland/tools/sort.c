/* sort: lines in order. -n: by the number at the beginning; -r: reverse; -u: one of equal lines;
 * -f: ignore case; -k N: from field N on; -t C: fields end at C, not at blanks. */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int numeric, backwards, unique, folded, field, separator;
static char **lines;
static size_t count, room;

static const char *key(const char *line) {
    for (int i = 1; i < field; i++) {
        if (separator) {
            line += strcspn(line, (char[2]){(char)separator});
            if (*line) line++;
        } else {
            line += strspn(line, " \t");
            line += strcspn(line, " \t");
        }
    }
    return line;
}

/* Among equal whole parts, the rest decides. */
static int by_number(const char *a, const char *b) {
    char *rest_a, *rest_b;
    long x = strtol(a, &rest_a, 10), y = strtol(b, &rest_b, 10);
    if (x != y) return x < y ? -1 : 1;
    int negative = x < 0 || strchr(a, '-') == a, order = 0;
    if (*rest_a == '.' || *rest_b == '.') {
        for (rest_a += *rest_a == '.', rest_b += *rest_b == '.'; !order;) {
            int p = isdigit(*rest_a) ? *rest_a++ : '0', q = isdigit(*rest_b) ? *rest_b++ : '0';
            order = p - q;
            if (!isdigit(*rest_a) && !isdigit(*rest_b)) break;
        }
    }
    return negative ? -order : order;
}

static int by_key(const char *a, const char *b) {
    if (numeric) return by_number(key(a), key(b));
    return folded ? strcasecmp(key(a), key(b)) : strcmp(key(a), key(b));
}

static int by_all(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int order = by_key(x, y);
    if (!order && !unique) order = strcmp(x, y);
    return backwards ? -order : order;
}

static void read_lines(FILE *file) {
    char *line = NULL;
    size_t size = 0;
    for (ssize_t length; (length = getline(&line, &size, file)) >= 0;) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        if (count == room) lines = realloc(lines, (room = room ? 2 * room : 256) * sizeof *lines);
        if (!lines || !(lines[count++] = strdup(line))) err(2, "memory");
    }
    free(line);
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "nrufk:t:")) != -1;) switch (letter) {
        case 'n': numeric = 1; break;
        case 'r': backwards = 1; break;
        case 'u': unique = 1; break;
        case 'f': folded = 1; break;
        case 'k': field = atoi(optarg); break;
        case 't': separator = *optarg; break;
        default: return 2;
        }
    if (optind == argc) read_lines(stdin);
    for (int i = optind; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) err(2, "%s", argv[i]);
        read_lines(file);
        fclose(file);
    }
    if (count) qsort(lines, count, sizeof *lines, by_all);
    for (size_t i = 0; i < count; i++)
        if (!unique || i == 0 || by_key(lines[i - 1], lines[i]) != 0) puts(lines[i]);
    return 0;
}
