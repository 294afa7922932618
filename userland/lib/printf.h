/* The core of the printf family. */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

/* Where formatted text goes; `put` is called with each piece in order. */
struct sink {
    void (*put)(struct sink *sink, const char *text, size_t length);
    size_t written; /* kept by format_to: the number of characters so far */
};

void format_to(struct sink *sink, const char *format, va_list args);

#endif
