/* What stands where a student has yet to write: nothing below it may need what is missing, so no
 * stream and no lock. */

#include <string.h>

#include "syscall.h"

enum { STDERR = 2, EX_SOFTWARE = 70 };

_Noreturn void unwritten(const char *sentence);

_Noreturn void unwritten(const char *sentence) {
    CALL_RAW(write, STDERR, sentence, strlen(sentence));
    CALL_RAW(write, STDERR, "\n", 1);
    for (;;) CALL_RAW(exit_group, EX_SOFTWARE);
}
