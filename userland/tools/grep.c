/* grep: lines that match a pattern. -v: lines that do not; -i: ignore case;
 * -c: only the number; -n: with line numbers; -q: only the status; -l: only names; -F: plain text
 * instead of a pattern; -E: the same patterns. Patterns: . [a-z] [^a-z] ^ $ \x and, behind a
 * character, * + ? (the last two with -E, or as \+ and \?). */

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int inverted, folded, counted, numbered, quiet, names_only, plain, extended, failed;

static int same(char a, char b) { return a == b || (folded && tolower(a) == tolower(b)); }

/* ---- Patterns (Kernighan & Pike, "The Practice of Programming", 9.2, extended) -------- */

/* The end of the one-character pattern at `at`. */
static const char *end_of_one(const char *at) {
    if (*at == '\\' && at[1]) return at + 2;
    if (*at != '[') return at + 1;
    const char *end = at + 1 + (at[1] == '^');
    for (end += *end == ']'; *end && *end != ']'; end++)
        if (end[0] == '[' && end[1] == ':' && strstr(end, ":]")) end = strstr(end, ":]") + 1;
    return *end ? end + 1 : at + 1;
}

static int in_class(const char *name, size_t length, char c) {
    static const struct {
        const char *name;
        int (*holds)(int);
    } classes[] = {{"alpha", isalpha}, {"digit", isdigit}, {"alnum", isalnum}, {"space", isspace},
                   {"upper", isupper}, {"lower", islower}, {"punct", ispunct}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strlen(classes[i].name) == length && strncmp(name, classes[i].name, length) == 0)
            return classes[i].holds(c);
    return 0;
}

static int in_set(const char *at, const char *end, char c) {
    int negated = *at == '^', found = 0;
    for (at += negated; at < end; at++) {
        const char *close = at[0] == '[' && at[1] == ':' ? strstr(at, ":]") : NULL;
        if (close && close < end) {
            found |= in_class(at + 2, (size_t)(close - at) - 2, c);
            at = close + 1;
        } else if (at[1] == '-' && at + 2 < end) {
            found |= (at[0] <= c && c <= at[2]) ||
                     (folded && at[0] <= tolower(c) && tolower(c) <= at[2]);
            at += 2;
        } else {
            found |= same(*at, c);
        }
    }
    return found != negated;
}

static int matches_one(const char *at, const char *end, char c) {
    if (!c || c == '\n') return 0;
    if (*at == '\\' && end - at == 2) return same(at[1], c);
    if (*at == '[' && end - at > 1) return in_set(at + 1, end - 1, c);
    return *at == '.' || same(*at, c);
}

/* '*', '+' or '?' at `at`; moves over it. */
static char repetition(const char **at) {
    char c = **at;
    if (c == '*' || (extended && (c == '+' || c == '?'))) return (*at)++, c;
    if (!extended && c == '\\' && ((*at)[1] == '+' || (*at)[1] == '?')) return *at += 2, (*at)[-1];
    return 0;
}

static int matches_here(const char *at, const char *text) {
    if (!*at) return 1;
    if (*at == '$' && !at[1]) return !*text || *text == '\n';
    const char *end = end_of_one(at), *rest = end;
    char how = repetition(&rest);
    if (!how) return matches_one(at, end, *text) && matches_here(rest, text + 1);
    size_t most = 0, least = how == '+';
    while ((how != '?' || most < 1) && matches_one(at, end, text[most])) most++;
    for (size_t n = most + 1; n-- > least;)
        if (matches_here(rest, text + n)) return 1;
    return 0;
}

static int contains(const char *line, const char *pattern) {
    size_t length = strlen(pattern), i = 0;
    while (i < length && line[i] && same(line[i], pattern[i])) i++;
    return i == length;
}

static int matches(const char *line, const char *pattern) {
    if (!plain && *pattern == '^') return matches_here(pattern + 1, line);
    do
        if (plain ? contains(line, pattern) : matches_here(pattern, line)) return 1;
    while (*line++);
    return 0;
}

/* ---- Files --------------------------------------------------------------------------- */

static long search(FILE *file, const char *pattern, const char *name) {
    char *line = NULL;
    size_t room = 0;
    long found = 0;
    for (long number = 1; getline(&line, &room, file) >= 0; number++) {
        if (matches(line, pattern) == inverted) continue;
        found++;
        if (quiet || names_only) break;
        if (counted) continue;
        if (name) printf("%s:", name);
        if (numbered) printf("%ld:", number);
        printf("%s%s", line, strchr(line, '\n') ? "" : "\n");
    }
    if (counted && !quiet && !names_only)
        printf("%s%s%ld\n", name ? name : "", name ? ":" : "", found);
    free(line);
    return found;
}

static int set_options(int argc, char **argv, const char **pattern) {
    for (int letter; (letter = getopt(argc, argv, "vicnqlFEe:")) != -1;) switch (letter) {
        case 'v': inverted = 1; break;
        case 'i': folded = 1; break;
        case 'c': counted = 1; break;
        case 'n': numbered = 1; break;
        case 'q': quiet = 1; break;
        case 'l': names_only = 1; break;
        case 'F': plain = 1; break;
        case 'E': extended = 1; break;
        case 'e': *pattern = optarg; break;
        default: return 0;
        }
    return 1;
}

int main(int argc, char **argv) {
    const char *pattern = NULL;
    long found = 0;
    if (!set_options(argc, argv, &pattern)) return 2;
    if (!pattern && optind == argc) errx(2, "usage: grep [-vicnqlFE] PATTERN [FILE..]");
    if (!pattern) pattern = argv[optind++];
    if (optind == argc) found = search(stdin, pattern, NULL);
    for (int i = optind; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            warn("%s", argv[i]);
            failed = 1;
            continue;
        }
        long here = search(file, pattern, argc - optind > 1 ? argv[i] : NULL);
        if (here && names_only && !quiet) puts(argv[i]);
        found += here;
        fclose(file);
    }
    return failed ? 2 : !found;
}
