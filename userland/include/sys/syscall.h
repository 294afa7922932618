/* The numbers for syscall(). */
#ifndef SYS_SYSCALL_H
#define SYS_SYSCALL_H

#include <vantage_calls.h>

#endif
