/* tr: replace characters: tr a-z A-Z. -d: delete them; -s: keep one of equal ones in a row;
 * -c: characters that are not named. Classes like [:space:], and \n \t \\ \NNN. */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct set {
    unsigned char members[512];
    int count;
};

static void add(struct set *set, int c) {
    if (set->count < 512) set->members[set->count++] = (unsigned char)c;
}

static int holds(const struct set *set, int c) {
    return memchr(set->members, c, (size_t)set->count) != NULL;
}

/* A character of the description, with its escape decoded. */
static int character(const char **at) {
    int c = (unsigned char)*(*at)++;
    if (c != '\\' || !**at) return c;
    c = (unsigned char)*(*at)++;
    if (c >= '0' && c <= '7') {
        int value = c - '0';
        for (int i = 0; i < 2 && **at >= '0' && **at <= '7'; i++)
            value = value * 8 + *(*at)++ - '0';
        return value;
    }
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

static int add_class(struct set *set, const char **at) {
    static const struct {
        const char *name;
        int (*holds)(int);
    } classes[] = {{"[:alpha:]", isalpha}, {"[:digit:]", isdigit}, {"[:alnum:]", isalnum},
                   {"[:space:]", isspace}, {"[:upper:]", isupper}, {"[:lower:]", islower},
                   {"[:punct:]", ispunct}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t length = strlen(classes[i].name);
        if (strncmp(*at, classes[i].name, length) != 0) continue;
        *at += length;
        for (int c = 0; c < 128; c++)
            if (classes[i].holds(c)) add(set, c);
        return 1;
    }
    return 0;
}

static struct set parse(const char *at) {
    struct set set = {0};
    while (*at) {
        if (*at == '[' && add_class(&set, &at)) continue;
        int low = character(&at), high = low;
        if (at[0] == '-' && at[1]) at++, high = character(&at);
        for (int c = low; c <= high; c++) add(&set, c);
    }
    return set;
}

static struct set complement(const struct set *set) {
    struct set others = {0};
    for (int c = 0; c < 256; c++)
        if (!holds(set, c)) add(&others, c);
    return others;
}

int main(int argc, char **argv) {
    int deletes = 0, squeezes = 0, complements = 0, last = -1;
    for (int letter; (letter = getopt(argc, argv, "dsc")) != -1;) switch (letter) {
        case 'd': deletes = 1; break;
        case 's': squeezes = 1; break;
        case 'c': complements = 1; break;
        default: return 2;
        }
    if (optind == argc) errx(2, "usage: tr [-cds] SET [SET]");
    struct set from = parse(argv[optind++]), to = {0};
    if (complements) from = complement(&from);
    if (optind < argc)
        to = parse(argv[optind]);
    else if (!deletes && !squeezes)
        errx(2, "name the characters to put");
    int table[256];
    for (int c = 0; c < 256; c++) table[c] = c;
    for (int i = 0; i < from.count && to.count && !deletes; i++)
        table[from.members[i]] = to.members[i < to.count ? i : to.count - 1];
    const struct set *squeezed = to.count ? &to : &from;
    for (int c; (c = getchar()) != EOF;) {
        if (deletes && holds(&from, c)) continue;
        int put = table[c];
        if (squeezes && put == last && holds(squeezed, put)) continue;
        putchar(last = put);
    }
    return 0;
}
