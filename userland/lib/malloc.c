/* The heap: one list of free blocks, kept in the order of their addresses.
 *
 *     block:   | size | next |  the caller's bytes ...  |
 *
 * Every block starts with a header of 16 bytes; `size` counts the whole block. malloc takes
 * the first free block that is large enough and cuts off the rest. free inserts a block by its
 * address and joins it with free neighbours. The heap grows by brk. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"

struct block {
    size_t size;
    struct block *next; /* while free: the next free block, at a higher address */
};

enum { UNIT = sizeof(struct block), GROWTH = 64 * 1024 };

static struct block *first_free;
static lock_t heap_lock; /* guards the list, the links in it, and the break */

static struct block *end_of(struct block *block) {
    return (struct block *)((char *)block + block->size);
}

/* Merge a block with the next one in the list if the two touch. */
static void join(struct block *block) {
    if (!block->next || end_of(block) != block->next) return;
    block->size += block->next->size;
    block->next = block->next->next;
}

static void give_back(struct block *block) {
    struct block *before = NULL, **link = &first_free;
    while (*link && *link < block) before = *link, link = &before->next;
    block->next = *link;
    *link = block;
    join(block);
    if (before) join(before);
}

static int grow(size_t size) {
    size_t bytes = (size + GROWTH - 1) / GROWTH * GROWTH;
    struct block *block = sbrk((intptr_t)bytes);
    if (block == (void *)-1) return 0;
    block->size = bytes;
    give_back(block);
    return 1;
}

/* The end of a free block becomes the new one, so that the list itself seldom changes. */
static struct block *take(size_t size) {
    for (struct block **link = &first_free; *link; link = &(*link)->next) {
        struct block *block = *link;
        if (block->size < size) continue;
        if (block->size < size + 2 * UNIT) {
            *link = block->next;
            return block;
        }
        block->size -= size;
        struct block *cut = end_of(block);
        cut->size = size;
        return cut;
    }
    return NULL;
}

void *malloc(size_t size) {
    if (size > PTRDIFF_MAX - GROWTH - 2 * UNIT) {
        errno = ENOMEM;
        return NULL;
    }
    size_t whole = (size + UNIT - 1) / UNIT * UNIT + UNIT;
    lock_take(&heap_lock);
    struct block *block = take(whole);
    if (!block && grow(whole)) block = take(whole);
    lock_give(&heap_lock);
    return block ? block + 1 : NULL;
}

void free(void *memory) {
    if (!memory) return;
    lock_take(&heap_lock);
    give_back((struct block *)memory - 1);
    lock_give(&heap_lock);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = malloc(bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *realloc(void *memory, size_t size) {
    if (!memory) return malloc(size);
    size_t room = ((struct block *)memory - 1)->size - UNIT;
    if (size <= room) return memory;
    void *larger = malloc(size);
    if (!larger) return NULL;
    memcpy(larger, memory, room);
    free(memory);
    return larger;
}

/* Allocate enough for an aligned address inside, and free the part before it. */
void *aligned_alloc(size_t alignment, size_t size) {
    if (alignment <= UNIT) return malloc(size);
    char *memory = malloc(size + alignment + UNIT);
    if (!memory) return NULL;
    char *aligned = (char *)(((uintptr_t)memory + UNIT + alignment - 1) & -alignment);
    struct block *whole = (struct block *)memory - 1, *kept = (struct block *)aligned - 1;
    if (kept == whole) return memory;
    kept->size = (size_t)((char *)end_of(whole) - (char *)kept);
    whole->size -= kept->size;
    free(memory);
    return aligned;
}

char *strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *strndup(const char *text, size_t limit) {
    size_t length = strnlen(text, limit);
    char *copy = malloc(length + 1);
    if (!copy) return NULL;
    copy[length] = '\0';
    return memcpy(copy, text, length);
}
