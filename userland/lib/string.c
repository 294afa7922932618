/* Bytes and strings.
 *
 * The compiler calls memcpy, memmove, memset and memcmp by itself, for instance to copy a
 * struct. They copy eight bytes at a time in plain loops. With `rep movs` instead, one instruction
 * would not be one step of the machine's clock. */

#include <ctype.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    char *out = to;
    const char *in = from;
    for (; bytes >= sizeof(word); bytes -= sizeof(word), out += sizeof(word), in += sizeof(word))
        *(word *)out = *(const word *)in;
    while (bytes-- > 0) *out++ = *in++;
    return to;
}

/* Copying downwards is safe whenever the target lies above the source. */
void *memmove(void *to, const void *from, size_t bytes) {
    char *out = to;
    const char *in = from;
    if (out < in)
        for (size_t i = 0; i < bytes; i++) out[i] = in[i];
    else
        while (bytes-- > 0) out[bytes] = in[bytes];
    return to;
}

void *memset(void *memory, int byte, size_t bytes) {
    char *out = memory;
    word pattern = (unsigned char)byte * 0x0101010101010101u;
    for (; bytes >= sizeof(word); bytes -= sizeof(word), out += sizeof(word))
        *(word *)out = pattern;
    while (bytes-- > 0) *out++ = (char)byte;
    return memory;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const unsigned char *x = a, *y = b;
    for (; bytes > 0; bytes--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

void *memchr(const void *memory, int byte, size_t bytes) {
    for (const unsigned char *cursor = memory; bytes > 0; bytes--, cursor++)
        if (*cursor == (unsigned char)byte) return (void *)cursor;
    return NULL;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end) end++;
    return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t limit) {
    size_t length = 0;
    while (length < limit && text[length]) length++;
    return length;
}

char *strcpy(char *restrict to, const char *restrict from) {
    return memcpy(to, from, strlen(from) + 1);
}

char *strncpy(char *restrict to, const char *restrict from, size_t size) {
    size_t length = strnlen(from, size);
    memcpy(to, from, length);
    memset(to + length, 0, size - length);
    return to;
}

char *strcat(char *restrict to, const char *restrict from) {
    strcpy(to + strlen(to), from);
    return to;
}

/* Always ends `to` with a zero (if size > 0); returns the length without the limit. */
size_t strlcpy(char *restrict to, const char *restrict from, size_t size) {
    size_t length = strlen(from);
    if (size > 0) {
        size_t kept = length < size ? length : size - 1;
        memcpy(to, from, kept);
        to[kept] = '\0';
    }
    return length;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t limit) {
    for (; limit > 0; limit--, a++, b++)
        if (*a != *b || !*a) return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

char *strchr(const char *text, int c) {
    for (;; text++) {
        if (*text == (char)c) return (char *)text;
        if (!*text) return NULL;
    }
}

char *strrchr(const char *text, int c) {
    for (const char *cursor = text + strlen(text); cursor >= text; cursor--)
        if (*cursor == (char)c) return (char *)cursor;
    return NULL;
}

char *strstr(const char *text, const char *part) {
    size_t length = strlen(part);
    for (;; text++) {
        if (strncmp(text, part, length) == 0) return (char *)text;
        if (!*text) return NULL;
    }
}

size_t strspn(const char *text, const char *set) {
    size_t length = 0;
    while (text[length] && strchr(set, text[length])) length++;
    return length;
}

size_t strcspn(const char *text, const char *set) {
    size_t length = 0;
    while (text[length] && !strchr(set, text[length])) length++;
    return length;
}

char *strtok_r(char *restrict text, const char *restrict separators, char **restrict rest) {
    char *token = text ? text : *rest;
    token += strspn(token, separators);
    *rest = token + strcspn(token, separators);
    if (*token == '\0') return NULL;
    if (**rest) *(*rest)++ = '\0';
    return token;
}

char *strtok(char *restrict text, const char *restrict separators) {
    static char *rest;
    return strtok_r(text, separators, &rest);
}

char *strpbrk(const char *text, const char *set) {
    text += strcspn(text, set);
    return *text ? (char *)text : NULL;
}

char *strsep(char **rest, const char *separators) {
    char *token = *rest;
    if (!token) return NULL;
    *rest = strpbrk(token, separators);
    if (*rest) *(*rest)++ = '\0';
    return token;
}

char *stpcpy(char *restrict to, const char *restrict from) {
    return strcpy(to, from) + strlen(from);
}

int strcasecmp(const char *a, const char *b) {
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) a++, b++;
    return tolower((unsigned char)*a) - tolower((unsigned char)*b);
}
