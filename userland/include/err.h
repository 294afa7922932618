/* Error messages on stderr: "program: message: reason". The x forms leave out the reason,
 * which is strerror(errno); err and errx then exit. */
#ifndef ERR_H
#define ERR_H

#define PRINTF_LIKE(text, first) __attribute__((__format__(__printf__, text, first)))
_Noreturn void err(int status, const char *format, ...) PRINTF_LIKE(2, 3);
_Noreturn void errx(int status, const char *format, ...) PRINTF_LIKE(2, 3);
void warn(const char *format, ...) PRINTF_LIKE(1, 2);
void warnx(const char *format, ...) PRINTF_LIKE(1, 2);
#undef PRINTF_LIKE

#endif
