/* Patterns to names: one component of the path after another. */

#include "sh.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct names {
    char **row;
    size_t count, room;
};

int has_wildcard(const char *pattern) {
    for (; *pattern; pattern++) {
        if (*pattern == '\\' && pattern[1])
            pattern++;
        else if (strchr("*?[", *pattern))
            return 1;
    }
    return 0;
}

static void add_name(struct names *names, char *name) {
    if (names->count + 1 >= names->room) {
        size_t room = names->room ? 2 * names->room : 16;
        char **row = take(room * sizeof *row);
        if (names->count) memcpy(row, names->row, names->count * sizeof *row);
        names->row = row;
        names->room = room;
    }
    names->row[names->count++] = name;
}

static char *joined(const char *folder, const char *name, const char *rest) {
    struct text text = {0};
    add_all(&text, folder);
    add_all(&text, name);
    if (*rest) add(&text, '/');
    return text.bytes;
}

static void find(struct names *names, const char *folder, const char *pattern);

static void find_in(struct names *names, const char *folder, const char *pattern,
                    const char *rest) {
    DIR *directory = opendir(*folder ? folder : ".");
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (fnmatch(pattern, entry->d_name, FNM_PERIOD)) continue;
        char *path = joined(folder, entry->d_name, rest);
        if (*rest)
            find(names, path, rest);
        else
            add_name(names, path);
    }
    closedir(directory);
}

/* Everything below `folder` (which is empty or ends with a slash) that matches. */
static void find(struct names *names, const char *folder, const char *pattern) {
    size_t slashes = strspn(pattern, "/");
    if (slashes) folder = joined(folder, take_text(pattern, slashes), ""), pattern += slashes;
    size_t length = strcspn(pattern, "/");
    char *first = take_text(pattern, length);
    const char *rest = pattern + length + (pattern[length] == '/');
    if (has_wildcard(first)) {
        find_in(names, folder, first, pattern[length] == '/' ? rest : "");
        return;
    }
    char *path = joined(folder, without_escapes(first), pattern[length] ? "/" : "");
    struct stat status;
    if (pattern[length] && *rest)
        find(names, path, rest);
    else if (lstat(path, &status) == 0)
        add_name(names, path);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **glob(const char *pattern, size_t *count) {
    struct names names = {0};
    find(&names, "", pattern);
    if (names.count) qsort(names.row, names.count, sizeof *names.row, by_name);
    *count = names.count;
    return names.row;
}
