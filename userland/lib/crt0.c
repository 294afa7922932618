/* The first instructions of every program, up to main().
 *
 * The kernel enters at _start with this on the stack, lowest address first:
 *     argc, argv[0..argc-1], NULL, envp[0..], NULL, auxiliary vector
 * (x86-64 psABI, 3.4.1) */

#include <err.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"
#include "syscall.h"
#include "thread.h"

#define ARCH_SET_FS 0x1002

extern int main(int argc, char **argv, char **envp);

char **environ;
const char *program_name = "program";

/* rbp = 0 marks the outermost frame; the psABI wants rsp aligned to 16 before a call. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call start_c\n"
        ".size _start, . - _start\n");

/* A movable program (static PIE) is linked for address 0. So add the real base to every pointer
 * that the linker listed. Before that, no code may use a pointer in initialised data. */
static void relocate(void) {
    const Elf64_Phdr *dynamic = image_header(PT_DYNAMIC);
    if (!dynamic) return;
    uintptr_t bias = image_bias();
    const Elf64_Rela *entry = NULL;
    size_t bytes = 0;
    for (const Elf64_Dyn *item = (const void *)(bias + dynamic->p_vaddr); item->d_tag != DT_NULL;
         item++) {
        if (item->d_tag == DT_RELA) entry = (const void *)(bias + item->d_un.d_ptr);
        if (item->d_tag == DT_RELASZ) bytes = item->d_un.d_val;
    }
    for (const Elf64_Rela *end = entry + bytes / sizeof *entry; entry < end; entry++)
        if (ELF64_R_TYPE(entry->r_info) == R_X86_64_RELATIVE)
            *(uintptr_t *)(bias + entry->r_offset) = bias + (uintptr_t)entry->r_addend;
}

static void set_up_first_thread(void) {
    size_t bytes = thread_block_bytes();
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct thread *self = thread_block_init(block + bytes);
    syscall2(SYS_arch_prctl, ARCH_SET_FS, (long)self);
    self->tid = syscall1(SYS_set_tid_address, (long)&self->tid);
}

static void remember_name(const char *path) {
    const char *slash = strrchr(path, '/');
    program_name = slash ? slash + 1 : path;
}

__attribute__((used)) static _Noreturn void start_c(long *stack) {
    int argc = stack[0];
    char **argv = (char **)(stack + 1);
    environ = argv + argc + 1;
    relocate();
    set_up_first_thread();
    if (argc > 0) remember_name(argv[0]);
    exit(main(argc, argv, environ));
}
