/* store: a key-value store in memory, reached in two ways. Read table.c first, the store itself;
 * then switch.c, where clients switch to it; messages.c, where they ask a server; and main.c, which
 * runs both and checks the results. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 24, VALUE_WORDS = 8, STORE_BYTES = 8 * 4096 };

struct value {
    uint64_t word[VALUE_WORDS];
};

/* ---- table.c: a hash table in a piece of memory, where all of its pointers stay ------------ */

struct table;

/* Make an empty table that fills `memory`. A process that has the same memory at the same address
 * uses the same pointer. */
struct table *table_create(void *memory, size_t bytes);

/* The address of a key's value in the table; NULL if there is none. */
const struct value *table_get(struct table *table, const char *key);

/* Give a key a value, or add to the first word of its value (or to zero). The result is false if
 * memory is full. A thread that sets or adds must be alone with the table; many may get at a time.
 * A thread that dies at any instruction leaves the old value or the new one. */
bool table_set(struct table *table, const char *key, const struct value *value);
bool table_add(struct table *table, const char *key, uint64_t amount);

/* ---- switch.c and messages.c: two ways to a table ------------------------------------------ */

struct way {
    const char *name;
    void (*make)(void); /* the store, before there are clients */
    void (*join)(void); /* its entry, in each process that will use it */
    bool (*get)(const char *key, struct value *value);
    void (*set)(const char *key, const struct value *value);
    void (*add)(const char *key, uint64_t amount);
    void (*end)(void); /* the store, when all clients are gone */
};

extern const struct way by_switch, by_messages;

#endif
