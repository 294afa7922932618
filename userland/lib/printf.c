/* Formatting: from a format string and its arguments to characters in a sink. */

#include "printf.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One conversion, as written between '%' and its letter. */
struct spec {
    int left, zero, plus, space, alternate;
    int width;
    int precision; /* -1: none given */
    int size;      /* bytes of an integer argument */
};

static void put(struct sink *sink, const char *text, size_t length) {
    sink->put(sink, text, length);
    sink->written += length;
}

static void pad(struct sink *sink, char fill, int count) {
    while (count-- > 0) put(sink, &fill, 1);
}

/* Sign or prefix, then zeros, then the body; spaces on the side that the flags ask for. */
static void put_field(struct sink *sink, struct spec *spec, const char *prefix, int zeros,
                      const char *body, size_t length) {
    int spaces = spec->width - (int)(strlen(prefix) + length) - zeros;
    if (!spec->left) pad(sink, ' ', spaces);
    put(sink, prefix, strlen(prefix));
    pad(sink, '0', zeros);
    put(sink, body, length);
    if (spec->left) pad(sink, ' ', spaces);
}

/* Zeros that fill the width, if the 0 flag asks for them and nothing overrides it. */
static int zeros_for_width(struct spec *spec, const char *prefix, size_t length) {
    int room = spec->width - (int)(strlen(prefix) + length);
    return spec->zero && !spec->left && room > 0 ? room : 0;
}

/* ---- Integers ------------------------------------------------------------------------ */

/* Write the digits so that they end just before `end`; return the first. Zero has no digits. */
static char *digits_before(char *end, uint64_t value, unsigned base, int upper) {
    for (; value > 0; value /= base) {
        unsigned digit = value % base;
        *--end = (char)(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
    }
    return end;
}

static void put_integer(struct sink *sink, struct spec *spec, const char *prefix, uint64_t value,
                        unsigned base, int upper) {
    char buffer[24], *end = buffer + sizeof buffer; /* 22 octal digits at most */
    char *body = digits_before(end, value, base, upper);
    int length = (int)(end - body);
    int wanted = spec->precision < 0 ? 1 : spec->precision;
    int zeros = wanted > length ? wanted - length : 0;
    if (spec->precision < 0) {
        int filling = zeros_for_width(spec, prefix, (size_t)length);
        if (filling > zeros) zeros = filling;
    }
    put_field(sink, spec, prefix, zeros, body, (size_t)length);
}

static const char *sign_prefix(struct spec *spec, int negative) {
    return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

/* Integers narrower than an int arrive as an int, hence the shifts. */
static int64_t signed_argument(struct spec *spec, va_list *args) {
    int64_t value = spec->size == 8 ? va_arg(*args, int64_t) : va_arg(*args, int);
    int unused_bits = 64 - 8 * spec->size;
    return (int64_t)((uint64_t)value << unused_bits) >> unused_bits;
}

static uint64_t unsigned_argument(struct spec *spec, va_list *args) {
    uint64_t value = spec->size == 8 ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
    int unused_bits = 64 - 8 * spec->size;
    return value << unused_bits >> unused_bits;
}

static void put_signed(struct sink *sink, struct spec *spec, int64_t value) {
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    put_integer(sink, spec, sign_prefix(spec, value < 0), magnitude, 10, 0);
}

static void put_hex(struct sink *sink, struct spec *spec, uint64_t value, int upper) {
    const char *prefix = spec->alternate && value ? (upper ? "0X" : "0x") : "";
    put_integer(sink, spec, prefix, value, 16, upper);
}

/* ---- Text and floating point --------------------------------------------------------- */

static void put_string(struct sink *sink, struct spec *spec, const char *text) {
    if (!text) text = "(null)";
    size_t limit = spec->precision < 0 ? SIZE_MAX : (size_t)spec->precision;
    put_field(sink, spec, "", 0, text, strnlen(text, limit));
}

/* A number split into the part before the point and `decimals` digits after it. */
struct decimal {
    uint64_t whole, fraction;
    int dropped; /* how many zeros follow `whole`, because the number is too large for it */
};

/* The fraction is held in units of 2^-64, in which every step of ten is exact. */
static struct decimal round_to(double magnitude, int decimals) {
    struct decimal out = {0};
    for (; magnitude >= 1e18; out.dropped++) magnitude /= 10;
    out.whole = (uint64_t)magnitude;
    uint64_t rest = (uint64_t)((magnitude - (double)out.whole) * 0x1p64), scale = 1;
    for (int i = 0; i < decimals; i++, scale *= 10) {
        unsigned __int128 moved = (unsigned __int128)rest * 10;
        out.fraction = out.fraction * 10 + (uint64_t)(moved >> 64);
        rest = (uint64_t)moved;
    }
    uint64_t half = 1ull << 63, odd = (decimals ? out.fraction : out.whole) & 1;
    if (rest > half || (rest == half && odd)) out.fraction++; /* a tie goes to the even digit */
    if (out.fraction >= scale) out.whole++, out.fraction -= scale;
    return out;
}

/* %f, with at most 17 decimals; numbers from 10^18 on keep their first digits only. */
static void put_double(struct sink *sink, struct spec *spec, double value) {
    char buffer[360], *end = buffer + sizeof buffer, *body = end;
    const char *prefix = sign_prefix(spec, __builtin_signbit(value) != 0);
    int decimals = spec->precision < 0 ? 6 : spec->precision > 17 ? 17 : spec->precision;
    if (!__builtin_isfinite(value)) {
        put_field(sink, spec, prefix, 0, value != value ? "nan" : "inf", 3);
        return;
    }

    struct decimal number = round_to(__builtin_fabs(value), decimals);
    if (decimals > 0) {
        body = digits_before(body, number.fraction, 10, 0);
        while (end - body < decimals) *--body = '0';
        *--body = '.';
    }
    while (number.dropped-- > 0) *--body = '0';
    if (number.whole == 0) *--body = '0';
    body = digits_before(body, number.whole, 10, 0);
    size_t length = (size_t)(end - body);
    put_field(sink, spec, prefix, zeros_for_width(spec, prefix, length), body, length);
}

/* ---- The format string --------------------------------------------------------------- */

static const char *parse_flags(const char *format, struct spec *spec) {
    for (;; format++) switch (*format) {
        case '-': spec->left = 1; break;
        case '0': spec->zero = 1; break;
        case '+': spec->plus = 1; break;
        case ' ': spec->space = 1; break;
        case '#': spec->alternate = 1; break;
        default: return format;
        }
}

static const char *parse_number(const char *format, int *number, va_list *args) {
    if (*format == '*') {
        *number = va_arg(*args, int);
        return format + 1;
    }
    for (*number = 0; isdigit(*format); format++) *number = *number * 10 + *format - '0';
    return format;
}

static const char *parse_size(const char *format, struct spec *spec) {
    spec->size = sizeof(int);
    for (;; format++) switch (*format) {
        case 'h': spec->size /= 2; break;
        case 'l':
        case 'z':
        case 't':
        case 'j': spec->size = 8; break;
        default: return format;
        }
}

static const char *parse_spec(const char *format, struct spec *spec, va_list *args) {
    *spec = (struct spec){.precision = -1};
    format = parse_flags(format, spec);
    format = parse_number(format, &spec->width, args);
    if (spec->width < 0) spec->left = 1, spec->width = -spec->width;
    if (*format == '.') format = parse_number(format + 1, &spec->precision, args);
    return parse_size(format, spec);
}

static void convert(struct sink *sink, struct spec *spec, char letter, va_list *args) {
    switch (letter) {
    case 'd':
    case 'i': put_signed(sink, spec, signed_argument(spec, args)); break;
    case 'u': put_integer(sink, spec, "", unsigned_argument(spec, args), 10, 0); break;
    case 'o': put_integer(sink, spec, "", unsigned_argument(spec, args), 8, 0); break;
    case 'x':
    case 'X': put_hex(sink, spec, unsigned_argument(spec, args), letter == 'X'); break;
    case 'p': put_integer(sink, spec, "0x", (uint64_t)va_arg(*args, void *), 16, 0); break;
    case 's': put_string(sink, spec, va_arg(*args, const char *)); break;
    case 'c': put_field(sink, spec, "", 0, &(char){(char)va_arg(*args, int)}, 1); break;
    case 'f': put_double(sink, spec, va_arg(*args, double)); break;
    default: put(sink, &letter, 1); break; /* %% */
    }
}

void format_to(struct sink *sink, const char *format, va_list args) {
    va_list cursor; /* a copy, because a parameter of array type cannot be passed by address */
    va_copy(cursor, args);
    while (*format) {
        size_t plain = strcspn(format, "%");
        put(sink, format, plain);
        format += plain;
        if (*format++ != '%') break;
        struct spec spec;
        format = parse_spec(format, &spec, &cursor);
        if (*format) convert(sink, &spec, *format++, &cursor);
    }
    va_end(cursor);
}

/* ---- Into memory --------------------------------------------------------------------- */

struct memory_sink {
    struct sink sink;
    char *out;
    size_t size;
};

static void put_memory(struct sink *sink, const char *text, size_t length) {
    struct memory_sink *memory = (struct memory_sink *)sink;
    if (sink->written >= memory->size) return;
    size_t room = memory->size - sink->written;
    memcpy(memory->out + sink->written, text, length < room ? length : room);
}

/* Store at most size-1 characters and a zero; the result is the length without that limit. */
int vsnprintf(char *out, size_t size, const char *format, va_list args) {
    struct memory_sink memory = {{put_memory, 0}, out, size ? size - 1 : 0};
    format_to(&memory.sink, format, args);
    if (size > 0) out[memory.sink.written < size ? memory.sink.written : size - 1] = '\0';
    return (int)memory.sink.written;
}

int snprintf(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, size, format, args);
    va_end(args);
    return length;
}

int sprintf(char *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, INT32_MAX, format, args);
    va_end(args);
    return length;
}
