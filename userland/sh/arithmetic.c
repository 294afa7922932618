/* $((..)): integers as in C, by precedence climbing. */

#include "sh.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *whole, *at;

static long assignment(int counts);

static _Noreturn void wrong(const char *why) { fail(2, "arithmetic: %s in \"%s\"", why, whole); }

static int skip(const char *operator) {
    at += strspn(at, " \t\n");
    size_t length = strlen(operator);
    if (strncmp(at, operator, length) != 0) return 0;
    at += length;
    return 1;
}

/* Sums and products wrap around, as the machine's do. */
static long apply(const char *operator, long a, long b) {
    unsigned long x = (unsigned long)a, y = (unsigned long)b;
    int divides = *operator == '/' || *operator == '%';
    if (divides && b == 0) wrong("division by zero");
    if (divides && b == -1) return *operator == '/' ? (long)-x : 0;
    switch (operator[0]) {
    case '*': return (long)(x * y);
    case '/': return a / b;
    case '%': return a % b;
    case '+': return (long)(x + y);
    case '-': return (long)(x - y);
    case '<': return operator[1] == '<' ? (long)(x << (y & 63)) : operator[1] ? a <= b : a < b;
    case '>': return operator[1] == '>' ? a >> (y & 63) : operator[1] ? a >= b : a > b;
    case '=': return a == b;
    case '!': return a != b;
    case '&': return a & b;
    case '^': return a ^ b;
    default: return a | b;
    }
}

static long value_of_name(const char *name) {
    const char *value = get(name);
    if (!value && options.nounset) fail(2, "%s: parameter not set", name);
    if (!value || !*value) return 0;
    char *end;
    long number = strtol(value, &end, 0);
    if (*end) fail(2, "arithmetic: \"%s\" is no number", value);
    return number;
}

static long primary(int counts) {
    if (skip("(")) {
        long value = assignment(counts);
        if (!skip(")")) wrong("a ) is missing");
        return value;
    }
    if (skip("-")) return (long)-(unsigned long)primary(counts);
    if (skip("+")) return primary(counts);
    if (skip("!")) return !primary(counts);
    if (skip("~")) return ~primary(counts);
    size_t length = name_length(at);
    if (length) {
        char *name = take_text(at, length);
        at += length;
        return counts ? value_of_name(name) : 0;
    }
    if (!isdigit(*at)) wrong("a number is missing");
    char *end;
    long value = strtol(at, &end, 0);
    if (isalnum(*end)) wrong("a wrong digit");
    at = end;
    return value;
}

/* Operators from the loosest to the tightest. && and || are handled apart, because they may skip
 * their right side. A longer operator stands before its own beginning. */
static const char *const levels[][5] = {
    {"|"},        {"^"},      {"&"},           {"==", "!="}, {"<=", ">=", "<", ">"},
    {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"},
};
enum { LEVELS = sizeof levels / sizeof *levels };

/* In "||", the first "|" is no operator. */
static int is_operator(const char *operator) {
    at += strspn(at, " \t\n");
    size_t length = strlen(operator);
    if (strncmp(at, operator, length) != 0) return 0;
    return length > 1 || at[1] != *operator || !strchr("|&<>", *operator);
}

static long binary(int level, int counts) {
    if (level == LEVELS) return primary(counts);
    long value = binary(level + 1, counts);
    for (int i = 0; i < 5 && levels[level][i];) {
        const char *operator = levels[level][i];
        if (!is_operator(operator)) {
            i++;
            continue;
        }
        skip(operator);
        long right = binary(level + 1, counts);
        if (counts) value = apply(operator, value, right);
        i = 0;
    }
    return value;
}

static long both(int counts) {
    long value = binary(0, counts);
    while (skip("&&")) value = (binary(0, counts && value) != 0) & (value != 0);
    return value;
}

static long either(int counts) {
    long value = both(counts);
    while (skip("||")) value = (both(counts && !value) != 0) | (value != 0);
    return value;
}

static long choice(int counts) {
    long value = either(counts);
    if (!skip("?")) return value;
    long yes = assignment(counts && value);
    if (!skip(":")) wrong("a : is missing");
    long no = assignment(counts && !value);
    return value ? yes : no;
}

/* NAME = .., NAME += .. and so on. */
static long assignment(int counts) {
    static const char *const operators[] = {
        "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "="};
    at += strspn(at, " \t\n");
    const char *start = at;
    size_t length = name_length(at);
    at += length;
    for (size_t i = 0; length && i < sizeof operators / sizeof *operators; i++) {
        const char *operator = operators[i];
        if ((operator[0] == '=' && strncmp(at + strspn(at, " "), "==", 2) == 0) || !skip(operator))
            continue;
        const char *name = take_text(start, length);
        long value = assignment(counts);
        if (!counts) return 0;
        if (*operator != '=') value = apply(operator, value_of_name(name), value);
        char number[24];
        snprintf(number, sizeof number, "%ld", value);
        set(name, number);
        return value;
    }
    at = start;
    return choice(counts);
}

long arithmetic(const char *expression) {
    const char *outer_whole = whole, *outer_at = at;
    whole = at = expression;
    long value = *(at += strspn(at, " \t\n")) ? assignment(1) : 0;
    skip("");
    if (*at) wrong("something is left over");
    whole = outer_whole, at = outer_at;
    return value;
}
