/* One thread's block: its thread-local variables, and right above them this record.
 *
 *     block                                                   fs
 *     | thread-local variables of the program, PT_TLS image   | struct thread |
 *
 * The fs base points at the record, whose first word points at itself: that is how compiled
 * code finds its thread-local variables, at negative offsets from %fs:0.
 * (Drepper, "ELF Handling For Thread-Local Storage", variant II) */
#ifndef LIB_THREAD_H
#define LIB_THREAD_H

#include <stddef.h>
#include <threads.h>

enum thread_state { THREAD_JOINABLE, THREAD_DETACHED, THREAD_FINISHED };

struct thread {
    struct thread *self;
    int tid;   /* set by the kernel at the start, zeroed and woken at the end */
    int state; /* enum thread_state; changed by compare-and-swap only */
    thrd_start_t start;
    void *argument;
    int result;
    void *mapping; /* stack and block together; NULL for the first thread */
    size_t mapping_bytes;
};

/* How many bytes a block takes, and how to make one that ends at `end`. */
size_t thread_block_bytes(void);
struct thread *thread_block_init(void *end);

static inline struct thread *thread_self(void) {
    struct thread *self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return self;
}

#endif
