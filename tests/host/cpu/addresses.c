/* Bad addresses: which of #PF, #GP and #SS they raise, at the edge of the user half and beyond, and
 * what EFLAGS.AC refuses. */

#include "try.h"

#define HOLE (1ul << 62)
#define AT(name, address, instruction)                                                           \
    TRY(name, asm volatile(instruction ::"r"((u64)(address)) : "rax", "rcx", "memory", "xmm0"))
/* with RSP or RBP at an address, and back; rbx and r12 keep the real ones */
#define STACK(name, address, instruction)                                                        \
    TRY(name, asm volatile("mov %%rsp, %%rbx; mov %0, %%rsp; " instruction "; mov %%rbx, %%rsp"  \
                           ::"r"((u64)(address)) : "rax", "rcx", "rbx", "memory"))
#define FRAME(name, address, instruction)                                                        \
    TRY(name, asm volatile("mov %%rbp, %%rbx; mov %0, %%rbp; " instruction "; mov %%rbx, %%rbp"  \
                           ::"r"((u64)(address)) : "rax", "rcx", "rbx", "memory"))

static void edges(void) {
    AT("8 at ..ff9", 0x7ffffffffff9, "mov (%0), %%rax");
    AT("8 at ..ff8", 0x7ffffffffff8, "mov (%0), %%rax");
    AT("4 at ..ffd", 0x7ffffffffffd, "mov (%0), %%eax");
    AT("4 at ..ffc", 0x7ffffffffffc, "mov (%0), %%eax");
    AT("2 at ..fff", 0x7fffffffffff, "movzwl (%0), %%eax");
    AT("1 at ..fff", 0x7fffffffffff, "movzbl (%0), %%eax");
    AT("store of 8", 0x7ffffffffff9, "mov %%rax, (%0)");
    AT("store of 1", 0x7fffffffffff, "mov %%al, (%0)");
    AT("16 at ..ff1", 0x7ffffffffff1, "movups (%0), %%xmm0");
    AT("16 at ..ff0", 0x7ffffffffff0, "movups (%0), %%xmm0");
    AT("16 stored", 0x7ffffffffff8, "movups %%xmm0, (%0)");
    AT("a word added", 0x7fffffffffff, "addw $1, (%0)");
    AT("a double", 0x7ffffffffffa, "movsd (%0), %%xmm0");
    AT("a single", 0x7ffffffffffc, "movss (%0), %%xmm0");
    AT("x87", 0x7ffffffffffc, "fldl (%0)");
    AT("in the hole", 1ul << 47, "mov (%0), %%rax");
    AT("upper half", -9l, "mov (%0), %%rax");
    AT("lea", HOLE, "lea 8(%0), %%rax");
    AT("a prefetch", HOLE, "prefetcht0 (%0)");
}

static void stacks(void) {
    STACK("push", HOLE, "push %%rcx");
    STACK("pop", HOLE, "pop %%rcx");
    STACK("pop at the edge", 0x7ffffffffff9, "pop %%rax");
    STACK("call", HOLE, "call 1f; 1:");
    STACK("ret", HOLE, "ret");
    STACK("rsp", HOLE, "mov (%%rsp), %%rcx");
    STACK("rsp with index", HOLE, "xor %%eax, %%eax; mov 8(%%rsp,%%rax,4), %%rcx");
    FRAME("rbp", HOLE, "mov (%%rbp), %%rax");
    FRAME("rbp at the edge", 0x7ffffffffff9, "mov (%%rbp), %%rax");
    FRAME("rbp stored", HOLE, "mov %%eax, -4(%%rbp)");
    FRAME("rbp through fs", HOLE, "mov %%fs:(%%rbp), %%rax");
    FRAME("rbp as index", HOLE, "xor %%eax, %%eax; mov (%%rax,%%rbp), %%rcx");
    TRY("leave", asm volatile("mov %%rbp, %%rbx; mov %%rsp, %%rcx; mov %0, %%rbp; leave;"
                              "mov %%rcx, %%rsp; mov %%rbx, %%rbp"
                              ::"r"(HOLE) : "rbx", "rcx", "memory"));
    AT("stos", HOLE, "mov %0, %%rdi; stosq");
    AT("r12", HOLE, "mov %0, %%r12; mov (%%r12), %%rax");
    AT("r13", HOLE, "mov %0, %%r13; mov (%%r13), %%rax");
}

#define WITH_AC(name, address, instruction)                                                      \
    TRY(name, asm volatile("pushf; orl $0x40000, (%%rsp); popf; " instruction                    \
                           "; pushf; andl $~0x40000, (%%rsp); popf"                              \
                           ::"r"(address) : "rax", "rcx", "memory", "cc"));                      \
    asm volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "cc", "memory")

static void alignment(void) {
    static char bytes[64] __attribute__((aligned(64)));
    WITH_AC("aligned", bytes, "mov 8(%0), %%rax");
    WITH_AC("8 at 4", bytes, "mov 4(%0), %%rax");
    WITH_AC("4 at 2", bytes, "mov 2(%0), %%eax");
    WITH_AC("2 at 1", bytes, "movzwl 1(%0), %%eax");
    WITH_AC("1 at 1", bytes, "movzbl 1(%0), %%eax");
    WITH_AC("a store of 4 at 1", bytes, "movl $7, 1(%0)");
    WITH_AC("add", bytes, "addl $1, 3(%0)");
    printf("%d %d\n", bytes[1], bytes[3]);
    asm volatile("movl $7, 1(%0)" ::"r"(bytes) : "memory");
    printf("without: %d\n", bytes[1]);
}

int main(void) {
    guard();
    edges();
    stacks();
    alignment();
    return 0;
}
