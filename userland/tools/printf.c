/* printf: print words by a format, which is repeated while there are words. Also built into sh.
 * Conversions: d i u o x X c s b %. Escapes: \n \t \r \a \b \f \v \\ \NNN. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **words; /* not used yet; ends with NULL */
static int failed, stopped;

static const char *next_word(void) { return *words ? *words++ : NULL; }

/* Print an escape, which begins with a backslash; returns the text after it. */
static const char *put_escape(const char *at) {
    static const char letters[] = "ntrabfv\\\"", values[] = "\n\t\r\a\b\f\v\\\"";
    const char *letter = *at ? strchr(letters, *at) : NULL;
    if (letter) return putchar(values[letter - letters]), at + 1;
    if (*at == 'c') return stopped = 1, at + 1;
    int value = 0, digits = 0;
    for (; digits < 3 + (*at == '0') && at[digits] >= '0' && at[digits] <= '7'; digits++)
        value = value * 8 + at[digits] - '0';
    putchar(digits ? value : '\\');
    return at + digits;
}

static void put_with_escapes(const char *text) {
    while (*text && !stopped) {
        if (*text != '\\')
            putchar(*text++);
        else
            text = put_escape(text + 1);
    }
}

static long number(const char *word) {
    char *end;
    if (!word) return 0;
    if (*word == '\'' || *word == '"') return (unsigned char)word[1];
    long value = strtol(word, &end, 0);
    if (*end || !*word) {
        fprintf(stderr, "printf: %s: is no number\n", word);
        failed = 1;
    }
    return value;
}

/* One conversion, from its % on, by the library's own printf. */
static const char *convert(const char *at) {
    char format[40] = "%";
    size_t length = 1;
    for (at++; *at && strchr("-+ #0123456789.*", *at); at++) {
        char star[16];
        if (*at == '*')
            snprintf(star, sizeof star, "%ld", number(next_word()));
        else
            snprintf(star, sizeof star, "%c", *at);
        length += strlcpy(format + length, star, 30 - length);
        if (length > 29) length = 29;
    }
    const char *word = strchr("diuoxXcsb", *at) && *at ? next_word() : NULL;
    switch (*at) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        format[length++] = 'l';
        format[length] = *at;
        printf(format, number(word));
        break;
    case 'c': putchar(word && *word ? *word : '\0'); break;
    case 's': strcpy(format + length, "s"), printf(format, word ? word : ""); break;
    case 'b': put_with_escapes(word ? word : ""); break;
    case '%': putchar('%'); break;
    default:
        fprintf(stderr, "printf: %%%.1s: there is no such conversion\n", at);
        failed = stopped = 1;
        return at + (*at != 0);
    }
    return at + 1;
}

static void print(const char *format) {
    while (*format && !stopped) {
        if (*format == '%')
            format = convert(format);
        else if (*format == '\\')
            format = put_escape(format + 1);
        else
            putchar(*format++);
    }
}

int main(int argc, char **argv) {
    int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (first >= argc) return fprintf(stderr, "printf: name a format\n"), 2;
    words = argv + first + 1;
    failed = stopped = 0;
    for (char **before = NULL; !stopped && before != words && (!before || *words);) {
        before = words;
        print(argv[first]);
    }
    return fflush(stdout) < 0 || failed;
}
