/* The running program's own ELF headers. */

#include "image.h"

#include <stddef.h>

/* Placed by the linker. */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

const Elf64_Phdr *image_header(uint32_t type) {
    const Elf64_Phdr *header = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
    for (int i = 0; i < __ehdr_start.e_phnum; i++)
        if (header[i].p_type == type) return &header[i];
    return NULL;
}

uintptr_t image_bias(void) {
    return __ehdr_start.e_type == ET_DYN ? (uintptr_t)&__ehdr_start : 0; /* linked for address 0 */
}
