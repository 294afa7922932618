/* A heap that lies completely inside the memory it manages: header, free list, lock, blocks.
 *
 *     heap:    | magic, size | root | first free | lock | journal |
 *     block:   | size | next |  the caller's bytes ...  |
 *
 * As in malloc.c, blocks carry a header of 16 bytes, the free ones are listed in the order of their
 * addresses, and neighbours are joined. Links are plain pointers, because a segment is at the same
 * address in every view. The lock is a futex. The kernel identifies it by the memory in which it
 * lies, so it is the same futex in every process and every view.
 *
 * A thread may die at any instruction, while others go on with the heap. So the lock is a robust
 * futex: it holds its owner's tid, and the kernel marks it when the owner dies. The owner writes
 * every change to a journal first. The thread that finds the mark carries the journal out once
 * more. A change is done as a whole, or not at all. (Documentation/robust-futexes.rst) */

#include <errno.h>
#include <stdint.h>
#include <unistd.h>
#include <vas.h>

#include "lock.h"
#include "syscall.h"

struct block {
    size_t size; /* of the whole block */
    struct block *next;
};

/* A word that will have a new value. */
struct change {
    void *word;
    uint64_t value;
};

enum { UNIT = sizeof(struct block), LEAST_BYTES = 4096, MOST_CHANGES = 3 };

struct vas_heap {
    _Alignas(UNIT) uint64_t magic;
    size_t size; /* of everything, this header too */
    void *root;
    struct block *first_free;
    uint32_t lock; /* guards all below and the list: 0, or the owner's tid, and two marks */
    uint32_t changes; /* how many of the journal's are to be made; 0 while none is decided */
    struct change journal[MOST_CHANGES];
};

_Static_assert(sizeof(struct vas_heap) % UNIT == 0, "blocks are aligned");
static const uint64_t MAGIC = 0x706165485341562full; /* "/VASHeap" */

static struct block *end_of(struct block *block) {
    return (struct block *)((char *)block + block->size);
}

/* ---- The lock ------------------------------------------------------------------------ */

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_OWNER 0x3fffffffu

/* struct robust_list_head: no list, and the lock that this thread is about to take or has. */
struct robust {
    struct robust *list;
    long offset;
    uint32_t *pending;
};

static _Thread_local struct robust robust;
static _Thread_local int registered_tid;

/* The kernel is told once by each thread; a child of fork is another one. */
static uint32_t announce(uint32_t *lock) {
    int tid = gettid();
    if (tid != registered_tid) {
        robust.list = &robust;
        CALL_RAW(set_robust_list, &robust, sizeof robust);
        registered_tid = tid;
    }
    __atomic_store_n(&robust.pending, lock, __ATOMIC_SEQ_CST);
    return (uint32_t)tid;
}

static int swap(uint32_t *lock, uint32_t *old, uint32_t new) {
    return __atomic_compare_exchange_n(lock, old, new, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Make the changes that the journal has. They are values, so twice is as good as once. */
static void carry_out(struct vas_heap *heap) {
    uint32_t count = __atomic_load_n(&heap->changes, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++)
        __atomic_store_n((uint64_t *)heap->journal[i].word, heap->journal[i].value,
                         __ATOMIC_RELAXED);
    __atomic_store_n(&heap->changes, 0, __ATOMIC_RELEASE);
}

static void take_lock(struct vas_heap *heap) {
    uint32_t tid = announce(&heap->lock), old = 0, mine = tid;
    while (!swap(&heap->lock, &old, mine | (old & FUTEX_WAITERS))) {
        if (!(old & FUTEX_OWNER)) continue; /* free, or its owner died: take it as it is */
        if (old & FUTEX_WAITERS || swap(&heap->lock, &old, old | FUTEX_WAITERS))
            futex_wait((int *)&heap->lock, (int)(old | FUTEX_WAITERS), NULL);
        mine = tid | FUTEX_WAITERS; /* others may wait as well */
        old = 0;
    }
    carry_out(heap);
}

static void give_lock(struct vas_heap *heap) {
    uint32_t old = __atomic_exchange_n(&heap->lock, 0, __ATOMIC_RELEASE);
    if (old & FUTEX_WAITERS) futex_wake((int *)&heap->lock, 1);
    __atomic_store_n(&robust.pending, NULL, __ATOMIC_SEQ_CST);
}

/* ---- Changes ------------------------------------------------------------------------- */

/* Decided by one store, behind which there is no way back. */
static void decide(struct vas_heap *heap, uint32_t count) {
    __atomic_store_n(&heap->changes, count, __ATOMIC_RELEASE);
    carry_out(heap);
}

static void note(struct vas_heap *heap, uint32_t i, void *word, uint64_t value) {
    heap->journal[i] = (struct change){word, value};
}

/* ---- The heap ------------------------------------------------------------------------ */

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
            note(heap, 0, link, (uint64_t)block->next);
            decide(heap, 1);
            return block;
        }
        struct block *taken = (struct block *)((char *)block + (block->size - size));
        note(heap, 0, &block->size, block->size - size);
        note(heap, 1, &taken->size, size);
        decide(heap, 2);
        return taken;
    }
    return NULL;
}

void *vas_heap_alloc(struct vas_heap *heap, size_t bytes) {
    struct block *block = NULL;
    if (bytes <= heap->size) {
        take_lock(heap);
        block = take(heap, (bytes + 2 * UNIT - 1) / UNIT * UNIT);
        give_lock(heap);
    }
    if (!block) errno = ENOMEM;
    return block ? block + 1 : NULL;
}

/* Put a block between two free ones, and make one of it and what it touches. */
static void put(struct vas_heap *heap, struct block *block, struct block *before) {
    struct block **link = before ? &before->next : &heap->first_free, *next = *link;
    size_t size = block->size;
    if (next && end_of(block) == next) {
        size += next->size;
        next = next->next;
    }
    int joins = before && end_of(before) == block;
    note(heap, 0, joins ? &before->size : &block->size, joins ? before->size + size : size);
    note(heap, 1, joins ? &before->next : &block->next, (uint64_t)next);
    if (!joins) note(heap, 2, link, (uint64_t)block);
    decide(heap, joins ? 2 : 3);
}

void vas_heap_free(struct vas_heap *heap, void *pointer) {
    if (!pointer) return;
    struct block *block = (struct block *)pointer - 1, *before = NULL;
    take_lock(heap);
    for (struct block *at = heap->first_free; at && at < block; at = at->next) before = at;
    put(heap, block, before);
    give_lock(heap);
}

void *vas_heap_root(struct vas_heap *heap) {
    return __atomic_load_n(&heap->root, __ATOMIC_ACQUIRE);
}

void vas_heap_set_root(struct vas_heap *heap, void *root) {
    __atomic_store_n(&heap->root, root, __ATOMIC_RELEASE);
}

size_t vas_heap_room(struct vas_heap *heap, size_t *pieces) {
    size_t bytes = 0, count = 0;
    take_lock(heap);
    for (struct block *block = heap->first_free; block; block = block->next)
        bytes += block->size, count++;
    give_lock(heap);
    if (pieces) *pieces = count;
    return bytes;
}
