/* Variables, in a list sorted by name, and the positional parameters. */

#include "sh.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct variable {
    struct variable *next;
    int flags;          /* EXPORTED, READONLY */
    char *name, *value; /* value: NULL while it is only exported or read-only */
};

static struct variable *variables;
struct parameters parameters;

/* The place of the variable in the list, or the place to insert it. */
static struct variable **place_of(const char *name) {
    struct variable **link = &variables;
    while (*link && strcmp((*link)->name, name) < 0) link = &(*link)->next;
    return link;
}

static struct variable *find(const char *name) {
    struct variable *variable = *place_of(name);
    return variable && strcmp(variable->name, name) == 0 ? variable : NULL;
}

static struct variable *find_or_make(const char *name) {
    struct variable *variable = find(name), **link = place_of(name);
    if (variable) return variable;
    variable = calloc(1, sizeof *variable);
    variable->name = strdup(name);
    variable->next = *link;
    return *link = variable;
}

const char *get(const char *name) {
    struct variable *variable = find(name);
    return variable ? variable->value : NULL;
}

static void pass_on(struct variable *variable) {
    if (variable->value) setenv(variable->name, variable->value, 1);
}

/* `value` may point into the old value. */
void set(const char *name, const char *value) {
    struct variable *variable = find_or_make(name);
    if (variable->flags & READONLY) fail(2, "%s: is read only", name);
    char *old = variable->value;
    variable->value = strdup(value);
    free(old);
    if (variable->flags & EXPORTED) pass_on(variable);
}

void unset(const char *name) {
    struct variable *variable = find(name);
    if (!variable) return;
    if (variable->flags & READONLY) fail(2, "unset: %s: is read only", name);
    *place_of(name) = variable->next;
    if (variable->flags & EXPORTED) unsetenv(name);
    free(variable->name);
    free(variable->value);
    free(variable);
}

void export_variable(const char *name) {
    struct variable *variable = find_or_make(name);
    variable->flags |= EXPORTED;
    pass_on(variable);
}

void make_readonly(const char *name) { find_or_make(name)->flags |= READONLY; }

/* Print those with all flags of `which`, as commands that would set them. */
void print_variables(const char *prefix, int which) {
    for (struct variable *each = variables; each; each = each->next) {
        if ((each->flags & which) != which || (!each->value && which == ALL)) continue;
        printf("%s%s", prefix, each->name);
        if (each->value) printf("=%s", quoted(each->value));
        printf("\n");
    }
}

void take_environment(void) {
    for (char **entry = environ; *entry; entry++) {
        const char *value = assignment_value(*entry);
        if (!value) continue;
        struct variable *variable = find_or_make(strndup(*entry, (size_t)(value - *entry) - 1));
        variable->value = strdup(value);
        variable->flags = EXPORTED;
    }
}

size_t name_length(const char *text) {
    if (!isalpha(*text) && *text != '_') return 0;
    size_t length = 1;
    while (isalnum(text[length]) || text[length] == '_') length++;
    return length;
}

char *assignment_value(const char *text) {
    size_t length = name_length(text);
    return length && text[length] == '=' ? (char *)text + length + 1 : NULL;
}

/* ---- Restoring ----------------------------------------------------------------------- */

struct saved {
    struct saved *next;
    int flags;
    char *name, *value;
};

struct saved *save(struct saved *list, const char *name) {
    struct saved *saved = calloc(1, sizeof *saved);
    struct variable *variable = find(name);
    saved->next = list;
    saved->name = strdup(name);
    if (!variable) return saved;
    saved->flags = variable->flags;
    if (variable->value) saved->value = strdup(variable->value);
    return saved;
}

void restore(struct saved *list) {
    for (struct saved *next; list; list = next) {
        next = list->next;
        struct variable *variable = find(list->name);
        if (variable) variable->flags &= ~READONLY;
        unset(list->name);
        if (list->value) set(list->name, list->value);
        if (list->flags & EXPORTED) export_variable(list->name);
        if (list->flags & READONLY) make_readonly(list->name);
        free(list->name);
        free(list->value);
        free(list);
    }
}
