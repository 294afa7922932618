/* Jumping back to an earlier point of the program, out of calls that have not returned. */
#ifndef SETJMP_H
#define SETJMP_H

/* What a call must preserve: rbx, rbp, r12-r15, the stack pointer, the return address. */
typedef unsigned long jmp_buf[8];

int setjmp(jmp_buf point) __attribute__((returns_twice)); /* 0; later, longjmp's value */
_Noreturn void longjmp(jmp_buf point, int value);

#endif
