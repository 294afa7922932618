/* Thread-local storage: each thread has its own copy of the program's PT_TLS image. */

#include <stdint.h>
#include <string.h>

#include "image.h"
#include "thread.h"

/* The image's header, or NULL when the program has no thread-local variable. */
static const Elf64_Phdr *tls_image(void) { return image_header(PT_TLS); }

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

enum { RECORD_ALIGNMENT = 64 };

static size_t image_alignment(const Elf64_Phdr *image) {
    return image && image->p_align > RECORD_ALIGNMENT ? image->p_align : RECORD_ALIGNMENT;
}

static size_t variables_bytes(const Elf64_Phdr *image) {
    return image ? round_up(image->p_memsz, image->p_align ? image->p_align : 1) : 0;
}

size_t thread_block_bytes(void) {
    const Elf64_Phdr *image = tls_image();
    return variables_bytes(image) + round_up(sizeof(struct thread), RECORD_ALIGNMENT) +
           image_alignment(image);
}

/* The memory below `end` must be zero, as mmap gives it: this function does not write .tbss. */
struct thread *thread_block_init(void *end) {
    const Elf64_Phdr *image = tls_image();
    uintptr_t record = (uintptr_t)end - sizeof(struct thread);
    struct thread *self = (struct thread *)(record & -image_alignment(image));
    if (image) {
        const void *from = (const void *)(image_bias() + image->p_vaddr);
        memcpy((char *)self - variables_bytes(image), from, image->p_filesz);
    }
    self->self = self;
    return self;
}
