/* Undefined instructions: each is run from a page of its own.  No instruction here depends on what
 * CPUID offers. */

#include "try.h"

static unsigned char *page;

static void run(const char *bytes) {
    static u64 target[64];
    int length = 0, step;
    unsigned byte;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(page, 0x90, 64);
    for (const char *p = bytes; sscanf(p, "%x%n", &byte, &step) == 1; p += step)
        page[length++] = byte;
    page[length + 16] = 0xc3;
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    TRY(bytes, asm volatile("push %%rbx; call *%1; pop %%rbx"
                            ::"a"(target), "r"(page), "d"(target), "c"(target)
                            : "rdi", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0"));
    munmap(page, 4096);
}

int main(void) {
    static const char *const all[] = {
        "90", "0f 0b", "0f b9 c0", "0f ff c0", "f1", "06", "27", "62 c0", "d6", "0f 04",
        /* LOCK: with registers, and with what never takes it */
        "f0 01 00", "f0 01 c0", "f0 89 00", "f0 8b 00", "f0 84 00", "f0 85 00", "f0 90",
        "f0 f6 00 01", "f0 f7 18", "f0 f7 d8", "f0 fe 00", "f0 fe c0", "f0 83 00 01",
        "f0 83 38 01", "f0 0f b1 10", "f0 0f b1 c2", "f0 0f c1 10", "f0 0f c1 c2", "f0 87 10",
        "f0 87 c2", "f0 0f ab c2", "f0 0f b3 c2", "f0 0f bb c2", "f0 0f a3 c2", "f0 0f ba e8 01",
        "f0 0f ba e0 01", "f0 0f ba 20 01", "f0 0f ba 28 01", "66 f0 0f ab c2", "f0 48 0f ab c2",
        "f0 48 01 00", "f0 48 89 00", "f0 0f 10 00", "f0 0f 1f 00", "f0 d9 00", "f0 8d 00",
        "f0 c6 00 01", "f0 0f af 00", "f0 c7 00 01 00 00 00", "f0 50", "f0 0f 38 00 00",
        /* forms that have no meaning */
        "8f c8", "c6 c8 01", "c7 c8 01 00 00 00", "0f 71 00 01", "0f 71 10 01", "0f 72 20 01",
        "0f 73 10 01", "0f 50 00", "66 0f 12 c0", "66 0f 16 c0", "66 0f c3 00", "f3 0f d6 00",
        "0f c3 00", "0f 20 c8", "ff f8", "fe d0", "0f 01 c7", "0f c7 00",
    };
    guard();
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) run(all[i]);
    return 0;
}
