/* errno, and error numbers in words. */

#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syscall.h"

extern const char *program_name;

static _Thread_local int this_errno;

int *__errno_location(void) { return &this_errno; }

long checked(long result) {
    if (result > -4096 && result < 0) { /* addresses never fall in the last page */
        this_errno = (int)-result;
        return -1;
    }
    return result;
}

static const struct {
    int number;
    const char *text;
} errors[] = {
    {0, "Success"},
    {EPERM, "Operation not permitted"},
    {ENOENT, "No such file or directory"},
    {ESRCH, "No such process"},
    {EINTR, "Interrupted system call"},
    {EIO, "Input/output error"},
    {ENXIO, "No such device or address"},
    {E2BIG, "Argument list too long"},
    {ENOEXEC, "Exec format error"},
    {EBADF, "Bad file descriptor"},
    {ECHILD, "No child processes"},
    {EAGAIN, "Resource temporarily unavailable"},
    {ENOMEM, "Cannot allocate memory"},
    {EACCES, "Permission denied"},
    {EFAULT, "Bad address"},
    {EBUSY, "Device or resource busy"},
    {EEXIST, "File exists"},
    {EXDEV, "Invalid cross-device link"},
    {ENODEV, "No such device"},
    {ENOTDIR, "Not a directory"},
    {EISDIR, "Is a directory"},
    {EINVAL, "Invalid argument"},
    {ENFILE, "Too many open files in system"},
    {EMFILE, "Too many open files"},
    {ENOTTY, "Inappropriate ioctl for device"},
    {ETXTBSY, "Text file busy"},
    {EFBIG, "File too large"},
    {ENOSPC, "No space left on device"},
    {ESPIPE, "Illegal seek"},
    {EROFS, "Read-only file system"},
    {EMLINK, "Too many links"},
    {EPIPE, "Broken pipe"},
    {EDOM, "Numerical argument out of domain"},
    {ERANGE, "Numerical result out of range"},
    {EDEADLK, "Resource deadlock avoided"},
    {ENAMETOOLONG, "File name too long"},
    {ENOSYS, "Function not implemented"},
    {ENOTEMPTY, "Directory not empty"},
    {ELOOP, "Too many levels of symbolic links"},
    {EIDRM, "Identifier removed"},
    {EOVERFLOW, "Value too large for defined data type"},
    {EOPNOTSUPP, "Operation not supported"},
    {EDESTADDRREQ, "Destination address required"},
    {ETIMEDOUT, "Connection timed out"},
};

char *strerror(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].number == error) return (char *)errors[i].text;
    return "Unknown error";
}

void perror(const char *what) { fprintf(stderr, "%s: %s\n", what, strerror(errno)); }

/* One write for the whole line, so that lines of several processes do not mix. */
static void complain(const char *reason, const char *format, va_list args) {
    char message[256];
    vsnprintf(message, sizeof message, format, args);
    fprintf(stderr, "%s: %s%s%s\n", program_name, message, reason ? ": " : "",
            reason ? reason : "");
}

void warn(const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(strerror(errno), format, args);
    va_end(args);
}

void warnx(const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(NULL, format, args);
    va_end(args);
}

_Noreturn void err(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(strerror(errno), format, args);
    exit(status);
}

_Noreturn void errx(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(NULL, format, args);
    exit(status);
}
