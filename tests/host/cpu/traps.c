/* Unmasked floating-point exceptions: when they trap, with which si_code, and what the program finds
 * afterwards. */

#include "try.h"

static void put_mxcsr(u32 value) { asm volatile("ldmxcsr %0" ::"m"(value)); }
static u32 mxcsr(void) {
    u32 value;
    asm volatile("stmxcsr %0" : "=m"(value));
    return value;
}
static unsigned status(void) {
    uint16_t value;
    asm volatile("fnstsw %0" : "=a"(value));
    return value;
}
#define CONTROL(value)                                                                           \
    do {                                                                                         \
        uint16_t word_ = (value);                                                                \
        asm volatile("fninit; fldcw %0" ::"m"(word_));                                           \
    } while (0)

#define SSE(name, mask, a, instruction, b)                                                       \
    do {                                                                                         \
        volatile double x = a, y = b;                                                            \
        double r = x;                                                                            \
        TRY(name, put_mxcsr(0x1f80 & ~((mask) << 7));                                            \
            asm volatile(instruction " %1, %0" : "+x"(r) : "x"(y)));                             \
        printf("  mxcsr %x\n", mxcsr());                                                         \
        put_mxcsr(0x1f80);                                                                       \
    } while (0)

static void sse(void) {
    double big = 1e308, tiny = 1e-308, three = 3, zero = 0, infinite = 1 / zero;
    SSE("sse masked", 0, 1, "divsd", zero);
    SSE("sse 1/0", 4, 1, "divsd", zero);
    SSE("sse 0/0", 1, 0, "divsd", zero);
    SSE("sse 0/0, ZE only", 4, 0, "divsd", zero);
    SSE("sse overflow", 8, big, "mulsd", big);
    SSE("sse overflow, PE only", 32, big, "mulsd", big);
    SSE("sse underflow", 16, tiny, "mulsd", tiny);
    SSE("sse inexact", 32, 1, "divsd", three);
    SSE("sse exact", 63, 1, "addsd", three);
    SSE("sse inf - inf", 1, infinite, "subsd", infinite);
    SSE("sse sqrt", 1, 0, "sqrtsd", -1.0);
    SSE("sse all", 61, 1, "divsd", zero);
    TRY("sse vector", put_mxcsr(0x1f80 & ~0x200);
        asm volatile("xorps %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1; cvtdq2ps %%xmm1, %%xmm1;"
                     "divps %%xmm0, %%xmm1" ::: "xmm0", "xmm1"));
    put_mxcsr(0x1f80);
    TRY("sse to integer", put_mxcsr(0x1f80 & ~0x80);
        asm volatile("cvttsd2si %0, %%eax" ::"x"(1e300) : "eax"));
    put_mxcsr(0x1f80);
    TRY("reserved bits of mxcsr", put_mxcsr(0x10000));
}

/* the exception waits for the next x87 instruction, and `at itself` says that it is that one */
static void x87(void) {
    TRY("x87 masked", CONTROL(0x37f); asm volatile("fld1; fldz; fdivrp; fwait"));
    printf("  status %x\n", status() & 0xbf);
    TRY("x87 1/0", CONTROL(0x37b); asm volatile("fld1; fldz; fdivrp; fwait"));
    printf("  status %x\n", status() & 0xbf);
    TRY("x87 after the handler", asm volatile("fwait"));
    TRY("x87 0/0", CONTROL(0x37e); asm volatile("fldz; fldz; fdivrp; fld1"));
    TRY("x87 0/0, ZE only", CONTROL(0x37b); asm volatile("fldz; fldz; fdivrp; fld1"));
    TRY("x87 sqrt(-1)", CONTROL(0x37e); asm volatile("fld1; fchs; fsqrt; fstp %st"));
    TRY("x87 inexact", CONTROL(0x35f);
        asm volatile("fld1; fldpi; fdivrp; fstp %st"));
    TRY("x87 overflow", CONTROL(0x377);
        asm volatile("fld1; fldl2t; fldl2t; 1: fmul %st, %st; fcomi %st(2); jmp 1b"));
    TRY("x87 no wait", CONTROL(0x37b);
        asm volatile("fld1; fldz; fdivrp; fnstsw %%ax; fnclex; fwait" ::: "ax"));
    TRY("x87 unmasked later", CONTROL(0x37f); asm volatile("fld1; fldz; fdivrp");
        uint16_t word = 0x37b; asm volatile("fldcw %0; fwait" ::"m"(word)));
    CONTROL(0x37f);
    TRY("x87 fnstenv masks", CONTROL(0x37b); char room[28];
        asm volatile("fnstenv %0; fld1; fldz; fdivrp; fwait" : "=m"(room)));
    CONTROL(0x37f);
    /* the operation was not performed: both numbers are still there */
    uint16_t word = 0x37b;
    long double top = 0, below = 0;
    unsigned after;
    asm volatile("fninit; fldcw %3; fldpi; fldz; fdivr %%st, %%st(1); fnstsw %%ax; fnclex;"
                 "fstpt %0; fstpt %1; movzwl %%ax, %2"
                 : "=m"(top), "=m"(below), "=r"(after) : "m"(word) : "ax");
    printf("kept: %.3Lf %.3Lf status %x\n", top, below, after & 0xbf);
    asm volatile("fninit");
}

/* a handler starts with a fresh unit, and its return brings the program's back */
static volatile u32 seen;
static void look(int number) {
    (void)number;
    seen = mxcsr();
    put_mxcsr(0x7f80);
}

static void handlers(void) {
    signal(SIGUSR1, look);
    volatile double one = 1, three = 3, quotient;
    put_mxcsr(0x5f80);
    quotient = one / three;
    raise(SIGUSR1);
    printf("in the handler %x, behind it %x, %.20f\n", seen, mxcsr(), quotient);
    put_mxcsr(0x1f80);
}

/* FTZ flushes, and says so; denormals are not touched without */
static void flushing(void) {
    static const u32 modes[] = {0x1f80, 0x9f80, 0x1f80};
    for (int i = 0; i < 3; i++) {
        volatile double tiny = 1e-200, r;
        put_mxcsr(modes[i]);
        r = tiny * 1e-115;
        printf("mode %x: %d, mxcsr %x\n", modes[i], r != 0, mxcsr() & ~2u); /* without DE */
    }
    put_mxcsr(0x1f80);
}

int main(void) {
    guard();
    sse();
    x87();
    handlers();
    flushing();
    return 0;
}
