/* chmod: change the rights of files. The mode is octal, or like u+x, go-w, a=r. */

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static _Noreturn void bad_mode(const char *text) { errx(2, "%s: is no mode", text); }

/* One clause: who, what to do, which rights. Returns the new mode, and moves past the clause. */
static mode_t clause(mode_t mode, const char **text, const char *whole) {
    mode_t who = 0, rights = 0;
    for (; **text && strchr("ugoa", **text); ++*text)
        who |= **text == 'u' ? 0700 : **text == 'g' ? 070 : **text == 'o' ? 07 : 0777;
    if (!who) who = 0777;
    char operation = **text;
    if (!operation || !strchr("+-=", operation)) bad_mode(whole);
    for (++*text; **text && **text != ','; ++*text) {
        if (!strchr("rwx", **text)) bad_mode(whole);
        rights |= **text == 'r' ? 0444 : **text == 'w' ? 0222 : 0111;
    }
    rights &= who;
    return operation == '+'   ? mode | rights
           : operation == '-' ? mode & ~rights
                              : (mode & ~who) | rights;
}

static mode_t changed(mode_t mode, const char *text) {
    char *end;
    unsigned long octal = strtoul(text, &end, 8);
    if (!*end && octal <= 07777) return (mode_t)octal;
    const char *at = text;
    mode = clause(mode, &at, text);
    while (*at++ == ',') mode = clause(mode, &at, text);
    return mode;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 3) errx(2, "usage: chmod MODE PATH..");
    for (int i = 2; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 &&
            chmod(argv[i], changed(status.st_mode & 07777, argv[1])) == 0)
            continue;
        warn("%s", argv[i]);
        failed = 1;
    }
    return failed;
}
