/* store: a key-value store in memory, reached in two ways. Read table.c first, the store itself; then
 * switch.c, where clients go to it; messages.c, where they ask a server for it; and main.c, which
 * puts both to work and checks what comes out. */
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

/* An empty table that fills `memory`; whoever comes to the same memory at the same address later
 * uses the pointer to it as it is. */
struct table *table_create(void *memory, size_t bytes);

/* Where the value of a key lies in the table; NULL: there is none. */
const struct value *table_get(struct table *table, const char *key);

/* Give a key a value, or add to the first word of the one that it has (or to zero). The result is
 * false if the memory is full. Whoever sets or adds must be alone with the table, whoever gets
 * must not meet one who does; one that dies at any instruction leaves the old value or the new. */
bool table_set(struct table *table, const char *key, const struct value *value);
bool table_add(struct table *table, const char *key, uint64_t amount);

/* ---- switch.c and messages.c: two ways to a table ------------------------------------------ */

struct way {
    const char *name;
    void (*make)(void); /* the store, before there are clients */
    void (*join)(void); /* it, in each process that will use it */
    bool (*get)(const char *key, struct value *value);
    void (*set)(const char *key, const struct value *value);
    void (*add)(const char *key, uint64_t amount);
    void (*end)(void); /* the store, when all clients are gone */
};

extern const struct way by_switch, by_messages;

#endif
