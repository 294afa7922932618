/* The running program's own ELF headers, which the linker leaves in its first page. */
#ifndef LIB_IMAGE_H
#define LIB_IMAGE_H

#include <elf.h>
#include <stdint.h>

/* The first program header of a type, or NULL. */
const Elf64_Phdr *image_header(uint32_t type);

/* The load address minus the address that it was linked for: 0 unless it is movable. */
uintptr_t image_bias(void);

#endif
