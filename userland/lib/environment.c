/* The environment: an array of "NAME=value" strings that ends with NULL.
 *
 * At first it lies on the stack, where the kernel has put it. The first change moves the array to
 * the heap. Replaced strings are not freed, because the program may still point into them. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **owned; /* the array, once it lies on the heap */

static char **entry_of(const char *name) {
    size_t length = strlen(name);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') return entry;
    return NULL;
}

char *getenv(const char *name) {
    char **entry = entry_of(name);
    return entry ? *entry + strlen(name) + 1 : NULL;
}

/* Room for one more entry at the end. */
static char **append(void) {
    size_t count = 0;
    while (environ[count]) count++;
    char **row = realloc(owned, (count + 2) * sizeof *row);
    if (!row) return NULL;
    if (environ != owned) memcpy(row, environ, count * sizeof *row);
    environ = owned = row;
    row[count + 1] = NULL;
    return row + count;
}

int setenv(const char *name, const char *value, int overwrite) {
    char **entry = entry_of(name);
    if (entry && !overwrite) return 0;
    char *text = malloc(strlen(name) + strlen(value) + 2);
    if (!text || (!entry && !(entry = append()))) return -1;
    stpcpy(stpcpy(stpcpy(text, name), "="), value);
    *entry = text;
    return 0;
}

int unsetenv(const char *name) {
    char **entry = entry_of(name);
    if (entry) do
            entry[0] = entry[1];
        while (*entry++);
    return 0;
}
