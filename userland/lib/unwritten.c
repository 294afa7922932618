/* The program calls this where a student's code is still missing. It uses no stream and no lock,
 * because these may need the missing code. */

#include <string.h>

#include "syscall.h"

enum { STDERR = 2, EX_SOFTWARE = 70 };

_Noreturn void unwritten(const char *sentence);

_Noreturn void unwritten(const char *sentence) {
    CALL_RAW(write, STDERR, sentence, strlen(sentence));
    CALL_RAW(write, STDERR, "\n", 1);
    for (;;) CALL_RAW(exit_group, EX_SOFTWARE);
}
