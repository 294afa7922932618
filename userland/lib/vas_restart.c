/* Checkpoint and restart of a process, as a VAS. */

#include <vas.h>

#include "syscall.h"

int vas_fork(pid_t pid) { return (int)CALL(vas_fork, pid); }
int vas_exec(pid_t pid, int vid) { return (int)CALL(vas_exec, pid, vid); }
