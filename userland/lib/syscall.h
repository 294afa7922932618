/* The way into the kernel: the `syscall` instruction.
 *
 * Number in rax; arguments in rdi, rsi, rdx, r10, r8, r9; the result, or -errno, comes back
 * in rax. The instruction itself overwrites rcx (return address) and r11 (flags), which is
 * why the fourth argument is not in rcx as it is in a C call. (x86-64 psABI, A.2.1) */
#ifndef LIB_SYSCALL_H
#define LIB_SYSCALL_H

#include <sys/syscall.h>

static inline long syscall0(long number) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory");
    return result;
}

static inline long syscall1(long number, long a) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a) : "rcx", "r11", "memory");
    return result;
}

static inline long syscall2(long number, long a, long b) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long syscall3(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long syscall4(long number, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* Turn the kernel's -errno into C's convention: set errno and return -1. */
long checked(long result);

/* CALL(name, arguments...) makes system call SYS_name; pointers and ints alike may be arguments. */
#define CALL(name, ...) checked(CALL_RAW(name, ##__VA_ARGS__))
#define CALL_RAW(name, ...) \
    CALL_PICK(0, ##__VA_ARGS__, CALL6, CALL5, CALL4, CALL3, CALL2, CALL1, \
              CALL0)(SYS_##name, ##__VA_ARGS__)
#define CALL_PICK(_0, _1, _2, _3, _4, _5, _6, chosen, ...) chosen
#define CALL0(n) syscall0(n)
#define CALL1(n, a) syscall1(n, (long)(a))
#define CALL2(n, a, b) syscall2(n, (long)(a), (long)(b))
#define CALL3(n, a, b, c) syscall3(n, (long)(a), (long)(b), (long)(c))
#define CALL4(n, a, b, c, d) syscall4(n, (long)(a), (long)(b), (long)(c), (long)(d))
#define CALL5(n, a, b, c, d, e) CALL6(n, a, b, c, d, e, 0)
#define CALL6(n, a, b, c, d, e, f) \
    syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
