/* The calls on views that are more than a process's own: bare ones, and those of signal stacks. */

#include <vas.h>

#include "syscall.h"

int vas_attach_bare(pid_t pid, int vid, int type) {
    return (int)CALL(vas_attach_bare, pid, vid, type);
}

int vas_sigaltstack(const struct vas_stack *now, struct vas_stack *old) {
    return (int)CALL(vas_sigaltstack, now, old);
}
