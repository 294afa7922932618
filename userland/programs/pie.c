/* pie: a program that can be loaded anywhere. Shows: a static position-independent executable,
 * which adds its own load address to its pointers before main() runs. */

#include <elf.h>
#include <stdint.h>
#include <stdio.h>

extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

/* The linker can only leave room for these pointers; the start-up code fills them in. */
static const char *const words[] = {"pointers", "in", "data", "work"};

int main(void) {
    printf("loaded at %p, main at +0x%lx\n", (void *)&__ehdr_start,
           (uintptr_t)main - (uintptr_t)&__ehdr_start);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        printf("%s%c", words[i], i < 3 ? ' ' : '\n');
    return __ehdr_start.e_type != ET_DYN;
}
