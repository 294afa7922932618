/* test and [: check a condition; the status is the answer. Also built into sh.
 *     -e -f -d -h -L -p -c -b -s -r -w -x FILE    -t FD    -n -z WORD    WORD = != WORD
 *     N -eq -ne -lt -le -gt -ge N    FILE -nt -ot -ef FILE    ! ( ) -a -o */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char **at, **end; /* the words not yet read */
static int wrong;        /* an error was printed, and the status is 2 */

static int either(void);

static int complain(const char *what, const char *why) {
    if (!wrong) fprintf(stderr, "test: %s: %s\n", what, why);
    wrong = 1;
    return 0;
}

static int is(const char *word) { return at < end && strcmp(*at, word) == 0; }

static long number(const char *word) {
    char *rest;
    long value = strtol(word, &rest, 10);
    while (*rest == ' ') rest++;
    if (*rest || !*word) complain(word, "is no number");
    return value;
}

static int about_file(char letter, const char *path) {
    struct stat found;
    if (strchr("rwx", letter))
        return faccessat(-100, path, letter == 'r' ? R_OK : letter == 'w' ? W_OK : X_OK, 0) == 0;
    if (strchr("hL", letter)) return lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
    if (stat(path, &found) < 0) return 0;
    switch (letter) {
    case 'f': return S_ISREG(found.st_mode);
    case 'd': return S_ISDIR(found.st_mode);
    case 'p': return S_ISFIFO(found.st_mode);
    case 'c': return S_ISCHR(found.st_mode);
    case 'b': return S_ISBLK(found.st_mode);
    case 's': return found.st_size > 0;
    default: return 1;
    }
}

static int compare_files(const char *a, const char *operator, const char *b) {
    struct stat x, y;
    int has_x = stat(a, &x) == 0, has_y = stat(b, &y) == 0;
    if (operator[1] == 'e') return has_x && has_y && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    if (!has_x || !has_y) return operator[1] == 'n' ? has_x && !has_y : has_y && !has_x;
    long seconds = x.st_mtim.tv_sec - y.st_mtim.tv_sec;
    long difference = seconds ? seconds : x.st_mtim.tv_nsec - y.st_mtim.tv_nsec;
    return operator[1] == 'n' ? difference > 0 : difference < 0;
}

static int compare(const char *a, const char *operator, const char *b) {
    if (strcmp(operator, "=") == 0 || strcmp(operator, "==") == 0) return strcmp(a, b) == 0;
    if (strcmp(operator, "!=") == 0) return strcmp(a, b) != 0;
    if (strchr("neo", operator[1]) && strchr("tf", operator[2]) && operator[2] &&
        strcmp(operator, "-ne") != 0)
        return compare_files(a, operator, b);
    long x = number(a), y = number(b);
    switch (operator[1] << 8 | operator[2]) {
    case 'e' << 8 | 'q': return x == y;
    case 'n' << 8 | 'e': return x != y;
    case 'l' << 8 | 't': return x < y;
    case 'l' << 8 | 'e': return x <= y;
    case 'g' << 8 | 't': return x > y;
    default: return x >= y;
    }
}

static int is_binary(const char *word) {
    static const char *const operators[] = {"=",   "==",  "!=",  "-eq", "-ne", "-lt",
                                            "-le", "-gt", "-ge", "-nt", "-ot", "-ef"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(word, operators[i]) == 0) return 1;
    return 0;
}

static int primary(void) {
    if (at == end) return complain("a word", "is missing");
    char *word = *at++;
    if (end - at >= 2 && is_binary(*at)) {
        at += 2;
        return compare(word, at[-2], at[-1]);
    }
    if (at == end) return *word != 0;
    if (strcmp(word, "!") == 0) return !primary();
    if (strcmp(word, "(") == 0) {
        int value = either();
        if (!is(")")) return complain(")", "is missing");
        at++;
        return value;
    }
    if (word[0] != '-' || !word[1] || word[2]) return *word != 0;
    if (word[1] == 'n') return **at++ != 0;
    if (word[1] == 'z') return **at++ == 0;
    if (word[1] == 't') return isatty((int)number(*at++));
    if (!strchr("efdhLpcbsrwx", word[1])) return *word != 0;
    return about_file(word[1], *at++);
}

static int both(void) {
    int value = primary();
    while (is("-a")) at++, value &= primary();
    return value;
}

static int either(void) {
    int value = both();
    while (is("-o")) at++, value |= both();
    return value;
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    wrong = 0;
    at = argv + 1;
    end = argv + argc;
    if (strcmp(slash ? slash + 1 : argv[0], "[") == 0) {
        if (argc < 2 || strcmp(end[-1], "]") != 0) return complain("]", "is missing"), 2;
        end--;
    }
    if (at == end) return 1;
    int value = either();
    if (at < end) complain(*at, "is one word too many");
    return wrong ? 2 : !value;
}
