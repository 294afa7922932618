/* Arithmetic of SSE and x87: results and exception flags, in every rounding mode, over values that
 * are special in one way or another.  One line for each operation and mode: a sum over all pairs of
 * values, and how often each flag was raised.  DE is left out: the README says why. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;

static const u64 doubles[] = {
    0, 1ull << 63, 0x3ff0000000000000, 0xbff8000000000000, 0x3fd5555555555555, 1,
    0x0010000000000000, 0x000ffffffffffffe, 0x7fefffffffffffff, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0x41dfffffffe00000,
    0xc1e0000000100000, 0x4340000000000001, 0x3ff0000000000001,
    0x1a56e1fc2f8f3597,
};
static const u32 singles[] = {
    0, 1u << 31, 0x3f800000, 0xbfc00000, 0x3eaaaaab, 1, 0x00800000, 0x007ffffe, 0x7f7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x4f000000, 0x3f800001, 0x1e3ce508,
};
#define COUNT(table) (sizeof table / sizeof *table)

static u64 sum;
static int raised[6];

static void begin(void) {
    sum = 0;
    memset(raised, 0, sizeof raised);
}

static void add(u64 result, u32 flags) {
    sum = (sum ^ result) * 0x100000001b3 + (flags & 0x3d);
    for (int bit = 0; bit < 6; bit++) raised[bit] += flags >> bit & 1;
}

static void end(const char *name, u32 mode) {
    printf("%-12s %4x: %016lx IE %d ZE %d OE %d UE %d PE %d\n", name, mode, sum, raised[0],
           raised[2], raised[3], raised[4], raised[5]);
}

#define ISNAN(x) (((x) & ~(1ull << 63)) > 0x7ff0000000000000)

/* SSE: two doubles, or two singles */
#define DOUBLE(instruction)                                                                      \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(doubles); i++)                                            \
            for (unsigned k = 0; k < COUNT(doubles); k++) {                                      \
                double a, b;                                                                     \
                u64 r;                                                                           \
                u32 csr = mode, after;                                                           \
                memcpy(&a, &doubles[i], 8), memcpy(&b, &doubles[k], 8);                          \
                if (ISNAN(doubles[i]) && ISNAN(doubles[k])) continue;                            \
                asm volatile("ldmxcsr %3; " instruction " %2, %0; stmxcsr %1"                    \
                             : "+x"(a), "=m"(after) : "x"(b), "m"(csr));                         \
                memcpy(&r, &a, 8);                                                               \
                add(r, after);                                                                   \
            }                                                                                    \
        end(instruction, mode);                                                                  \
    } while (0)
#define SINGLE(instruction)                                                                      \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(singles); i++)                                            \
            for (unsigned k = 0; k < COUNT(singles); k++) {                                      \
                float a, b;                                                                      \
                u32 r, csr = mode, after;                                                        \
                memcpy(&a, &singles[i], 4), memcpy(&b, &singles[k], 4);                          \
                if (a != a && b != b) continue;                                                  \
                asm volatile("ldmxcsr %3; " instruction " %2, %0; stmxcsr %1"                    \
                             : "+x"(a), "=m"(after) : "x"(b), "m"(csr));                         \
                memcpy(&r, &a, 4);                                                               \
                add(r, after);                                                                   \
            }                                                                                    \
        end(instruction, mode);                                                                  \
    } while (0)
/* from a double or single to a general register, and comparisons */
#define TO_INTEGER(instruction, type, table)                                                     \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(table); i++) {                                            \
            type a;                                                                              \
            u64 r = 0;                                                                           \
            u32 csr = mode, after;                                                               \
            memcpy(&a, &table[i], sizeof a);                                                     \
            asm volatile("ldmxcsr %3; " instruction " %2, %0; stmxcsr %1"                        \
                         : "=r"(r), "=m"(after) : "x"(a), "m"(csr));                             \
            add(r, after);                                                                       \
        }                                                                                        \
        end(instruction, mode);                                                                  \
    } while (0)
#define COMPARE(instruction, type, table)                                                        \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(table); i++)                                              \
            for (unsigned k = 0; k < COUNT(table); k++) {                                        \
                type a, b;                                                                       \
                u64 r = 0;                                                                       \
                u32 csr = mode, after;                                                           \
                memcpy(&a, &table[i], sizeof a), memcpy(&b, &table[k], sizeof b);                \
                asm volatile("ldmxcsr %4; " instruction " %3, %2; lahf; movzwl %%ax, %%eax;"     \
                             "stmxcsr %1" : "=&a"(r), "=m"(after) : "x"(a), "x"(b), "m"(csr));   \
                add(r & 0x4500, after);                                                          \
            }                                                                                    \
        end(instruction, mode);                                                                  \
    } while (0)
#define ROUND(immediate)                                                                         \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(doubles); i++) {                                          \
            double a, d = 0;                                                                     \
            u64 r;                                                                               \
            u32 csr = mode, after;                                                               \
            memcpy(&a, &doubles[i], 8);                                                          \
            asm volatile("ldmxcsr %3; roundsd $" #immediate ", %2, %0; stmxcsr %1"               \
                         : "+x"(d), "=m"(after) : "x"(a), "m"(csr));                             \
            memcpy(&r, &d, 8);                                                                   \
            add(r, after);                                                                       \
        }                                                                                        \
        end("roundsd " #immediate, mode);                                                        \
    } while (0)

static void sse(u32 mode) {
    DOUBLE("addsd");
    DOUBLE("subsd");
    DOUBLE("mulsd");
    DOUBLE("divsd");
    DOUBLE("sqrtsd");
    DOUBLE("cvtsd2ss");
    if (!(mode & 0x40)) { /* DAZ: test_limit_min_and_max_under_daz */
        DOUBLE("minsd");
        DOUBLE("maxsd");
    }
    SINGLE("addss");
    SINGLE("subss");
    SINGLE("mulss");
    SINGLE("divss");
    SINGLE("sqrtss");
    SINGLE("addps");
    SINGLE("mulps");
    SINGLE("cvtss2sd");
    TO_INTEGER("cvtsd2si", double, doubles);
    TO_INTEGER("cvttsd2si", double, doubles);
    TO_INTEGER("cvtsd2siq", double, doubles);
    TO_INTEGER("cvttss2si", float, singles);
    COMPARE("ucomisd", double, doubles);
    COMPARE("comisd", double, doubles);
    COMPARE("ucomiss", float, singles);
    ROUND(0);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(8);
    ROUND(9);
    ROUND(12);
}

/* x87: two numbers of ten bytes */
struct extended {
    u64 mantissa;
    uint16_t top;
} __attribute__((packed));
static const struct extended numbers[] = {
    {0, 0}, {0, 0x8000}, {1ull << 63, 0x3fff}, {3ull << 62, 0xbfff}, {0xaaaaaaaaaaaaaaab, 0x3ffd},
    {1ull << 63, 0x7fff}, {1ull << 63, 0xffff}, {3ull << 62, 0x7fff}, {0xffffffffffffffff, 0xffff},
    {~0ull, 0x7ffe}, {1ull << 63, 1}, {~0ull, 0x403e}, {1ull << 63, 0x401e}, {1ull << 63, 0xc01d},
    {0xc90fdaa22168c235, 0x4000}, {0xd555555555555555, 0x4123}, {1ull << 63, 0x400e},
    {0x8000000000000001, 0x3fff}, {0xab54a98ceb1f0ad2, 0x403e}, {0xfa00000000000000, 0x4008},
};
#define EXTENDED(name, code, conditions)                                                         \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(numbers); i++)                                            \
            for (unsigned k = 0; k < COUNT(numbers); k++) {                                      \
                struct extended a = numbers[i], b = numbers[k], r;                               \
                uint16_t cw = mode, sw;                                                          \
                asm volatile("fninit; fldt %3; fldt %2; fldcw %4; fnclex; " code                 \
                             "; fnstsw %1; fninit; fnclex" : "=m"(r), "=m"(sw)                   \
                             : "m"(a), "m"(b), "m"(cw) : "ax", "cc");                            \
                add(sw & (conditions), sw);                                                      \
            }                                                                                    \
        end(name, mode);                                                                         \
    } while (0)
/* the same, and the number on top of the stack counts */
#define VALUE(name, code, conditions)                                                            \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(numbers); i++)                                            \
            for (unsigned k = 0; k < COUNT(numbers); k++) {                                      \
                struct extended a = numbers[i], b = numbers[k], r;                               \
                uint16_t cw = mode, sw;                                                          \
                asm volatile("fninit; fldt %3; fldt %2; fldcw %4; fnclex; " code                 \
                             "; fnstsw %1; fstpt %0; fninit" : "=m"(r), "=m"(sw)                 \
                             : "m"(a), "m"(b), "m"(cw) : "ax", "cc");                            \
                add(r.mantissa + r.top + (sw & (conditions)), sw);                               \
            }                                                                                    \
        end(name, mode);                                                                         \
    } while (0)
/* ST(0) to memory */
#define STORE(name, code)                                                                        \
    do {                                                                                         \
        begin();                                                                                 \
        for (unsigned i = 0; i < COUNT(numbers); i++) {                                          \
            struct extended a = numbers[i], r = {0, 0};                                          \
            uint16_t cw = mode, sw;                                                              \
            asm volatile("fninit; fldt %2; fldcw %3; fnclex; " code " %0; fnstsw %1; fninit"     \
                         : "=m"(r), "=m"(sw) : "m"(a), "m"(cw));                                 \
            add(r.mantissa + r.top, sw);                                                         \
        }                                                                                        \
        end(name, mode);                                                                         \
    } while (0)

static void x87(u32 mode) {
    VALUE("fadd", "fadd %%st(1), %%st", 0);
    VALUE("fsub", "fsub %%st(1), %%st", 0);
    if ((mode & 0x300) == 0x300) { /* test_limit_precision_control_at_the_edge_of_the_range */
        VALUE("fmul", "fmul %%st(1), %%st", 0);
        VALUE("fdiv", "fdiv %%st(1), %%st", 0);
    }
    VALUE("fsqrt", "fsqrt", 0);
    VALUE("frndint", "frndint", 0);
    VALUE("fprem", "1: fprem; fnstsw %%ax; test $4, %%ah; jnz 1b", 0);
    VALUE("fprem1", "1: fprem1; fnstsw %%ax; test $4, %%ah; jnz 1b", 0);
    EXTENDED("fcom", "fcom %%st(1)", 0x4500);
    EXTENDED("fucom", "fucom %%st(1)", 0x4500);
    STORE("fistps", "fistps");
    STORE("fistpl", "fistpl");
    STORE("fistpq", "fistpll");
    STORE("fsts", "fsts");
    STORE("fstl", "fstl");
    STORE("fisttpl", "fisttpl");
    STORE("fisttpq", "fisttpll");
    STORE("fisttps", "fisttps");
}

int main(void) {
    static const u32 modes[] = {0x1f80, 0x7f80, 0x9f80, 0x1fc0};
    static const u32 words[] = {0x37f, 0xf7f, 0x27f};
    for (unsigned i = 0; i < COUNT(modes); i++) sse(modes[i]);
    for (unsigned i = 0; i < COUNT(words); i++) x87(words[i]);
    return 0;
}
