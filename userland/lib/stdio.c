/* The standard streams, and the functions for any stream.
 *
 * A stream collects characters and writes them at every newline, when its buffer is full, and at
 * exit(). stderr writes at the end of every call. All therefore write whole lines, which do not
 * mix with those of other processes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "printf.h"
#include "stream.h"

static char in_buffer[BUFSIZ], out_buffer[BUFSIZ], error_buffer[BUFSIZ];
static struct stream in = {.fd = STDIN_FILENO, .buffer = in_buffer},
                     out = {.fd = STDOUT_FILENO, .writes = 1, .buffer = out_buffer},
                     errors = {
                         .fd = STDERR_FILENO, .writes = 1, .buffer = error_buffer, .unbuffered = 1};
struct stream *opened_streams;
FILE *const stdin = &in, *const stdout = &out, *const stderr = &errors;

/* ---- Output -------------------------------------------------------------------------- */

static void write_all(struct stream *stream) {
    while (stream->start < stream->end) {
        ssize_t done = write(stream->fd, stream->buffer + stream->start,
                             stream->end - stream->start);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            stream->failed = 1;
            break;
        }
        stream->start += (size_t)done;
    }
    stream->start = stream->end = 0;
}

static void put_byte(struct stream *stream, char byte) {
    stream->buffer[stream->end++] = byte;
    if (stream->end == BUFSIZ || (byte == '\n' && !stream->unbuffered)) write_all(stream);
}

static void put_bytes(struct stream *stream, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) put_byte(stream, text[i]);
}

static void begin(struct stream *stream) { lock_take(&stream->lock); }

/* End of a call on the stream: 0, or EOF if writing has failed. */
static int finish(struct stream *stream) {
    if (stream->unbuffered) write_all(stream);
    int failed = stream->failed;
    lock_give(&stream->lock);
    return failed ? EOF : 0;
}

/* NULL stands for all of them. */
int fflush(FILE *stream) {
    if (!stream) {
        int failed = fflush(stdout);
        for (stream = opened_streams; stream; stream = stream->next) failed |= fflush(stream);
        return failed;
    }
    begin(stream);
    if (stream->writes) write_all(stream);
    return finish(stream);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    begin(stream);
    put_bytes(stream, data, size * count);
    return finish(stream) < 0 ? 0 : count;
}

int fputs(const char *text, FILE *stream) {
    begin(stream);
    put_bytes(stream, text, strlen(text));
    return finish(stream);
}

int puts(const char *text) {
    begin(stdout);
    put_bytes(stdout, text, strlen(text));
    put_byte(stdout, '\n');
    return finish(stdout);
}

int fputc(int c, FILE *stream) {
    begin(stream);
    put_byte(stream, (char)c);
    return finish(stream) < 0 ? EOF : (unsigned char)c;
}

int putc(int c, FILE *stream) { return fputc(c, stream); }
int putchar(int c) { return fputc(c, stdout); }

struct stream_sink {
    struct sink sink;
    struct stream *stream;
};

static void put_stream(struct sink *sink, const char *text, size_t length) {
    put_bytes(((struct stream_sink *)sink)->stream, text, length);
}

int vfprintf(FILE *stream, const char *format, va_list args) {
    struct stream_sink target = {{put_stream, 0}, stream};
    begin(stream);
    format_to(&target.sink, format, args);
    return finish(stream) < 0 ? -1 : (int)target.sink.written;
}

int vprintf(const char *format, va_list args) { return vfprintf(stdout, format, args); }

int vdprintf(int fd, const char *format, va_list args) {
    char buffer[BUFSIZ];
    struct stream stream = {.fd = fd, .writes = 1, .buffer = buffer, .unbuffered = 1};
    return vfprintf(&stream, format, args);
}

int printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vprintf(format, args);
    va_end(args);
    return length;
}

int fprintf(FILE *stream, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vfprintf(stream, format, args);
    va_end(args);
    return length;
}

int dprintf(int fd, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vdprintf(fd, format, args);
    va_end(args);
    return length;
}

/* ---- Input --------------------------------------------------------------------------- */

static void refill(struct stream *stream) {
    ssize_t got;
    do got = read(stream->fd, stream->buffer, BUFSIZ);
    while (got < 0 && errno == EINTR);
    stream->start = 0;
    stream->end = got > 0 ? (size_t)got : 0;
    if (got == 0) stream->at_end = 1;
    if (got < 0) stream->failed = 1;
}

static int get_byte(struct stream *stream) {
    if (stream->start == stream->end) refill(stream);
    return stream->start < stream->end ? (unsigned char)stream->buffer[stream->start++] : EOF;
}

int fgetc(FILE *stream) {
    lock_take(&stream->lock);
    int c = get_byte(stream);
    lock_give(&stream->lock);
    return c;
}

int getc(FILE *stream) { return fgetc(stream); }
int getchar(void) { return fgetc(stdin); }

/* A line with its newline, cut at size-1 characters; NULL when nothing was left to read. */
char *fgets(char *line, int size, FILE *stream) {
    int length = 0, c = 0;
    lock_take(&stream->lock);
    while (length < size - 1 && c != '\n' && (c = get_byte(stream)) != EOF)
        line[length++] = (char)c;
    lock_give(&stream->lock);
    if (length == 0) return NULL;
    line[length] = '\0';
    return line;
}

size_t fread(void *data, size_t size, size_t count, FILE *stream) {
    char *bytes = data;
    size_t length = 0;
    int c;
    lock_take(&stream->lock);
    while (length < size * count && (c = get_byte(stream)) != EOF) bytes[length++] = (char)c;
    lock_give(&stream->lock);
    return size ? length / size : 0;
}

int feof(FILE *stream) { return stream->at_end; }
int ferror(FILE *stream) { return stream->failed; }
int fileno(FILE *stream) { return stream->fd; }
