/* Formatted output, and the three standard streams. */
#ifndef STDIO_H
#define STDIO_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#define EOF (-1)
#define BUFSIZ 1024

enum { SEEK_SET, SEEK_CUR, SEEK_END };

typedef struct stream FILE;
extern FILE *const stdin, *const stdout, *const stderr;

/* Conversions: d i u x X o p s c % f. Flags: - 0 + space #. Width, precision, *, and
 * the sizes hh h l ll z t j. */
#define PRINTF_LIKE(text, first) __attribute__((__format__(__printf__, text, first)))
int printf(const char *format, ...) PRINTF_LIKE(1, 2);
int fprintf(FILE *stream, const char *format, ...) PRINTF_LIKE(2, 3);
int snprintf(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
int sprintf(char *out, const char *format, ...) PRINTF_LIKE(2, 3);
int dprintf(int fd, const char *format, ...) PRINTF_LIKE(2, 3);
int vprintf(const char *format, va_list args);
int vfprintf(FILE *stream, const char *format, va_list args);
int vsnprintf(char *out, size_t size, const char *format, va_list args);
int vdprintf(int fd, const char *format, va_list args);
#undef PRINTF_LIKE

/* Modes: r, w, a, and with + for both directions one after the other. */
FILE *fopen(const char *path, const char *mode);
FILE *fdopen(int fd, const char *mode);
int fclose(FILE *stream);
int remove(const char *path);
int rename(const char *from, const char *to);

int fputc(int c, FILE *stream);
int putc(int c, FILE *stream);
int putchar(int c);
int fputs(const char *text, FILE *stream);
int puts(const char *text);
size_t fwrite(const void *data, size_t size, size_t count, FILE *stream);
int fflush(FILE *stream);

int fgetc(FILE *stream);
int getc(FILE *stream);
int getchar(void);
char *fgets(char *line, int size, FILE *stream);
/* A whole line with its newline, in memory that grows as needed; -1 at the end. */
ssize_t getline(char **line, size_t *room, FILE *stream);
ssize_t getdelim(char **line, size_t *room, int end, FILE *stream);
size_t fread(void *data, size_t size, size_t count, FILE *stream);
int feof(FILE *stream);
int ferror(FILE *stream);
int fileno(FILE *stream);

void perror(const char *what);

#endif
