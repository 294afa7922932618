/* find: the paths below folders. -name PATTERN, -type f|d|l|p|c, -maxdepth N, -print0. */

#include <dirent.h>
#include <err.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *name_wanted;
static char type_wanted;
static int deepest = 1 << 30, ends_with_zero, failed;

static int is_type(mode_t mode) {
    switch (type_wanted) {
    case 'f': return S_ISREG(mode);
    case 'd': return S_ISDIR(mode);
    case 'l': return S_ISLNK(mode);
    case 'p': return S_ISFIFO(mode);
    case 'c': return S_ISCHR(mode);
    default: return 1;
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void visit(const char *path, const char *name, int depth);

/* In the order of names, so that the output does not depend on how the folder is stored. */
static void visit_all_in(const char *folder, int depth) {
    DIR *directory = opendir(folder);
    char **names = NULL;
    size_t count = 0, room = 0;
    if (!directory) {
        warn("%s", folder);
        failed = 1;
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (count == room) names = realloc(names, (room = room ? 2 * room : 32) * sizeof *names);
        if (!names) err(1, "names");
        names[count++] = strdup(entry->d_name);
    }
    closedir(directory);
    if (count) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
        snprintf(path, sizeof path, "%s%s%s", folder, slash, names[i]);
        visit(path, names[i], depth);
        free(names[i]);
    }
    free(names);
}

static void visit(const char *path, const char *name, int depth) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        warn("%s", path);
        failed = 1;
        return;
    }
    if (is_type(status.st_mode) && (!name_wanted || fnmatch(name_wanted, name, 0) == 0))
        printf("%s%c", path, ends_with_zero ? '\0' : '\n');
    if (S_ISDIR(status.st_mode) && depth < deepest) visit_all_in(path, depth + 1);
}

static int read_conditions(int argc, char **argv, int at) {
    for (; at < argc; at++) {
        const char *value = at + 1 < argc ? argv[at + 1] : "";
        if (strcmp(argv[at], "-print") == 0) continue;
        if (strcmp(argv[at], "-print0") == 0)
            ends_with_zero = 1;
        else if (strcmp(argv[at], "-name") == 0 && *value)
            name_wanted = value, at++;
        else if (strcmp(argv[at], "-type") == 0 && *value)
            type_wanted = *value, at++;
        else if (strcmp(argv[at], "-maxdepth") == 0 && *value)
            deepest = atoi(value), at++;
        else
            errx(2, "%s: there is no such condition", argv[at]);
    }
    return 1;
}

int main(int argc, char **argv) {
    int first = 1, at = 1;
    while (at < argc && argv[at][0] != '-') at++;
    int last = at;
    read_conditions(argc, argv, at);
    if (first == last) visit(".", ".", 0);
    for (int i = first; i < last; i++) {
        const char *slash = strrchr(argv[i], '/');
        visit(argv[i], slash && slash[1] ? slash + 1 : argv[i], 0);
    }
    return failed;
}
