/* What a failed assert() does. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void __assert_fail(const char *condition, const char *file, unsigned line,
                             const char *function) {
    fprintf(stderr, "%s:%u: %s: assertion failed: %s\n", file, line, function, condition);
    abort();
}
