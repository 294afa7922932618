/* A heap that lies wholly inside the memory it manages: header, free list, lock, blocks.
 *
 *     heap:    | magic, size | lock | root | first free |
 *     block:   | size | next |  the caller's bytes ...  |
 *
 * As malloc's (malloc.c): blocks carry a header of 16 bytes, the free ones are listed in the order
 * of their addresses, and neighbours are joined. Links are plain pointers, because a segment is at
 * the same place wherever it is seen. The lock is a futex, which the kernel knows by the memory it
 * lies in, so that it is the same one in every process and every view. */

#include <errno.h>
#include <stdint.h>
#include <vas.h>

#include "lock.h"

struct block {
    size_t size; /* of the whole block */
    struct block *next;
};

struct vas_heap {
    uint64_t magic;
    size_t size; /* of everything, this header too */
    void *root;
    struct block *first_free;
    lock_t lock; /* guards the list and the links in it */
};

enum { UNIT = sizeof(struct block), LEAST_BYTES = 4096 };
static const uint64_t MAGIC = 0x706165485341562full; /* "/VASHeap" */

static struct block *end_of(struct block *block) {
    return (struct block *)((char *)block + block->size);
}

static void join(struct block *block) {
    if (!block->next || end_of(block) != block->next) return;
    block->size += block->next->size;
    block->next = block->next->next;
}

struct vas_heap *vas_heap_create(void *start, size_t bytes) {
    if (bytes < LEAST_BYTES || (uintptr_t)start % UNIT) {
        errno = EINVAL;
        return NULL;
    }
    struct vas_heap *heap = start;
    struct block *all = (struct block *)(heap + 1);
    all->size = (bytes - sizeof *heap) / UNIT * UNIT;
    all->next = NULL;
    *heap = (struct vas_heap){.size = bytes, .first_free = all};
    __atomic_store_n(&heap->magic, MAGIC, __ATOMIC_RELEASE);
    return heap;
}

struct vas_heap *vas_heap_open(void *start) {
    struct vas_heap *heap = start;
    if (__atomic_load_n(&heap->magic, __ATOMIC_ACQUIRE) == MAGIC) return heap;
    errno = ENOENT;
    return NULL;
}

/* The end of the first free block that is large enough. */
static struct block *take(struct vas_heap *heap, size_t size) {
    for (struct block **link = &heap->first_free; *link; link = &(*link)->next) {
        struct block *block = *link;
        if (block->size < size) continue;
        if (block->size < size + 2 * UNIT) {
            *link = block->next;
            return block;
        }
        block->size -= size;
        struct block *taken = end_of(block);
        taken->size = size;
        return taken;
    }
    return NULL;
}

void *vas_heap_alloc(struct vas_heap *heap, size_t bytes) {
    struct block *block = NULL;
    if (bytes <= heap->size) {
        lock_take(&heap->lock);
        block = take(heap, (bytes + 2 * UNIT - 1) / UNIT * UNIT);
        lock_give(&heap->lock);
    }
    if (!block) errno = ENOMEM;
    return block ? block + 1 : NULL;
}

void vas_heap_free(struct vas_heap *heap, void *pointer) {
    if (!pointer) return;
    struct block *block = (struct block *)pointer - 1, *before = NULL, **link;
    lock_take(&heap->lock);
    for (link = &heap->first_free; *link && *link < block; link = &before->next) before = *link;
    block->next = *link;
    *link = block;
    join(block);
    if (before) join(before);
    lock_give(&heap->lock);
}

void *vas_heap_root(struct vas_heap *heap) {
    return __atomic_load_n(&heap->root, __ATOMIC_ACQUIRE);
}

void vas_heap_set_root(struct vas_heap *heap, void *root) {
    __atomic_store_n(&heap->root, root, __ATOMIC_RELEASE);
}

size_t vas_heap_room(struct vas_heap *heap, size_t *pieces) {
    size_t bytes = 0, count = 0;
    lock_take(&heap->lock);
    for (struct block *block = heap->first_free; block; block = block->next)
        bytes += block->size, count++;
    lock_give(&heap->lock);
    if (pieces) *pieces = count;
    return bytes;
}
