/* Numbers, sorting and searching. */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* ---- Numbers ------------------------------------------------------------------------- */

static int digit_value(int c) {
    if (isdigit(c)) return c - '0';
    if (isalpha(c)) return tolower(c) - 'a' + 10;
    return INT_MAX;
}

/* Base 0 means: as in C source. A "0x" is skipped only when a hexadecimal digit follows it. */
static const char *skip_prefix(const char *text, int *base) {
    int hex = text[0] == '0' && tolower(text[1]) == 'x' && isxdigit(text[2]);
    if (*base == 0) *base = hex ? 16 : text[0] == '0' ? 8 : 10;
    return *base == 16 && hex ? text + 2 : text;
}

struct number {
    int negative, overflow;
    unsigned long magnitude;
};

static struct number parse(const char *text, char **end, int base) {
    struct number number = {0};
    const char *cursor = text, *digits;
    while (isspace(*cursor)) cursor++;
    if (*cursor == '+' || *cursor == '-') number.negative = *cursor++ == '-';
    digits = cursor = skip_prefix(cursor, &base);
    for (; digit_value(*cursor) < base; cursor++) {
        number.overflow |= __builtin_mul_overflow(number.magnitude, (unsigned long)base,
                                                  &number.magnitude);
        number.overflow |= __builtin_add_overflow(
            number.magnitude, (unsigned long)digit_value(*cursor), &number.magnitude);
    }
    if (end) *end = (char *)(cursor == digits ? text : cursor);
    return number;
}

unsigned long strtoul(const char *text, char **end, int base) {
    struct number number = parse(text, end, base);
    if (number.overflow) errno = ERANGE;
    return number.overflow ? ULONG_MAX : number.negative ? -number.magnitude : number.magnitude;
}

long strtol(const char *text, char **end, int base) {
    struct number number = parse(text, end, base);
    unsigned long limit = (unsigned long)LONG_MAX + number.negative;
    if (number.overflow || number.magnitude > limit) {
        errno = ERANGE;
        return number.negative ? LONG_MIN : LONG_MAX;
    }
    return (long)(number.negative ? -number.magnitude : number.magnitude);
}

long long strtoll(const char *text, char **end, int base) { return strtol(text, end, base); }
unsigned long long strtoull(const char *text, char **end, int base) {
    return strtoul(text, end, base);
}
long atol(const char *text) { return strtol(text, NULL, 10); }
int atoi(const char *text) { return (int)atol(text); }
int abs(int n) { return n < 0 ? -n : n; }
long labs(long n) { return n < 0 ? -n : n; }

/* xorshift64* (Vigna 2016): the same numbers everywhere for the same seed. */
static unsigned long random_state = 1;

void srand(unsigned seed) { random_state = seed * 0x9e3779b97f4a7c15u + 1; }

int rand(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (int)(random_state * 0x2545f4914f6cdd1du >> 33);
}

/* ---- Sorting and searching ----------------------------------------------------------- */

static void swap(char *a, char *b, size_t size) {
    for (; size > 0; size--) {
        char byte = *a;
        *a++ = *b;
        *b++ = byte;
    }
}

/* Restore the heap below `root`: no element may be smaller than its children. */
static void sift_down(char *base, size_t root, size_t count, size_t size,
                      int (*compare)(const void *, const void *)) {
    for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + root * size, base + child * size) >= 0) return;
        swap(base + root * size, base + child * size, size);
    }
}

/* Heapsort: no recursion, no memory, n log n in the worst case too. */
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t root = count / 2; root-- > 0;) sift_down(base, root, count, size, compare);
    for (size_t last = count; last-- > 1;) {
        swap(base, (char *)base + last * size, size);
        sift_down(base, 0, last, size, compare);
    }
}

void *bsearch(const void *key, const void *base, size_t count, size_t size,
              int (*compare)(const void *, const void *)) {
    for (const char *low = base; count > 0; count /= 2) {
        const char *middle = low + count / 2 * size;
        int order = compare(key, middle);
        if (order == 0) return (void *)middle;
        if (order > 0) {
            low = middle + size;
            count--;
        }
    }
    return NULL;
}
