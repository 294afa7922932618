/* The table: chains of entries, and the free entries, in one piece of memory.
 *
 *     table:   | free | fresh | end | bucket 0 | bucket 1 | ... |
 *     entry:   | next | key | value |
 *
 * Links are plain pointers into that memory. They are valid in a server, alone with its memory.
 * They are valid in a segment too, which lies at the same address in every process. The code is the
 * same for both.
 *
 * In a linked entry only the link changes. A new value is a new entry: one store puts it in the
 * place of the old one, and that store is the whole change. */

#include <string.h>

#include "store.h"

enum { BUCKETS = 64 };

struct entry {
    struct entry *next;
    char key[KEY_BYTES];
    struct value value;
};

struct table {
    struct entry *free;        /* entries that were used before */
    struct entry *fresh, *end; /* entries that were never used */
    struct entry *bucket[BUCKETS];
};

struct table *table_create(void *memory, size_t bytes) {
    struct table *table = memory;
    struct entry *first = (struct entry *)(table + 1);
    *table = (struct table){.fresh = first, .end = first + (bytes - sizeof *table) / sizeof *first};
    return table;
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash(const char *key) {
    uint64_t hash = 0xcbf29ce484222325;
    while (*key) hash = (hash ^ (unsigned char)*key++) * 0x100000001b3;
    return hash;
}

/* The link that leads to the entry of a key. If there is no such entry, it is the last link of the
 * chain, which is NULL. */
static struct entry **find(struct table *table, const char *key) {
    /* BEGIN SOLUTION lab9.lookup */
    struct entry **link = &table->bucket[hash(key) % BUCKETS];
    while (*link && strcmp((*link)->key, key) != 0) link = &(*link)->next;
    return link;
    /* END SOLUTION lab9.lookup */
    /* PROMPT lab9.lookup: walk the chain of the key's bucket, and return the link, not the entry. */
}

static struct entry *take(struct table *table) {
    struct entry *entry = table->free;
    if (entry)
        table->free = entry->next;
    else if (table->fresh < table->end)
        entry = table->fresh++;
    return entry;
}

static void give(struct table *table, struct entry *entry) {
    entry->next = table->free;
    table->free = entry;
}

/* Put an entry with this key and value where `link` leads, and free the old one there. No thread
 * can see the new entry before the one store that links it. */
static bool put(struct table *table, struct entry **link, const char *key,
                const struct value *value) {
    /* BEGIN SOLUTION lab9.insert */
    struct entry *old = *link, *made = take(table);
    if (!made) return false;
    made->next = old ? old->next : NULL;
    strlcpy(made->key, key, KEY_BYTES);
    made->value = *value;
    __atomic_store_n(link, made, __ATOMIC_RELEASE);
    if (old) give(table, old);
    return true;
    /* END SOLUTION lab9.insert */
    /* PROMPT lab9.insert: take an entry, fill it in, link it by one store, free the old one. */
}

const struct value *table_get(struct table *table, const char *key) {
    struct entry *entry = *find(table, key);
    return entry ? &entry->value : NULL;
}

bool table_set(struct table *table, const char *key, const struct value *value) {
    return put(table, find(table, key), key, value);
}

bool table_add(struct table *table, const char *key, uint64_t amount) {
    struct entry **link = find(table, key);
    struct value value = {0};
    if (*link) value = (*link)->value;
    value.word[0] += amount;
    return put(table, link, key, &value);
}
