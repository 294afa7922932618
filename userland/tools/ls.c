/* ls: the names in folders. -l: modes, owners and sizes too; -a: names that begin with a dot too;
 * -d: folders themselves; -1: one name a line, which is always so here. */

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int is_long, all, folders_themselves, failed;

static char letter_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFCHR: return 'c';
    case S_IFBLK: return 'b';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    default: return '-';
    }
}

/* -rwxr-xr-x; s and t stand where the set-id and sticky bits are, capital without an x. */
static const char *mode_in_letters(mode_t mode) {
    static char text[11];
    text[0] = letter_of(mode);
    for (int i = 0; i < 9; i++) text[1 + i] = mode >> (8 - i) & 1 ? "rwx"[i % 3] : '-';
    if (mode & S_ISUID) text[3] = text[3] == 'x' ? 's' : 'S';
    if (mode & S_ISGID) text[6] = text[6] == 'x' ? 's' : 'S';
    if (mode & S_ISVTX) text[9] = text[9] == 'x' ? 't' : 'T';
    return text;
}

static void print_long(const char *path, const char *name, const struct stat *status) {
    char moment[24], target[256];
    struct tm date;
    strftime(moment, sizeof moment, "%F %R", gmtime_r(&status->st_mtim.tv_sec, &date));
    printf("%s %3lu %4u %4u %8ld %s %s", mode_in_letters(status->st_mode), status->st_nlink,
           status->st_uid, status->st_gid, status->st_size, moment, name);
    ssize_t length = S_ISLNK(status->st_mode) ? readlink(path, target, sizeof target) : -1;
    if (length >= 0) printf(" -> %.*s", (int)length, target);
    printf("\n");
}

static void print(const char *path, const char *name) {
    struct stat status;
    if (!is_long)
        printf("%s\n", name);
    else if (lstat(path, &status) == 0)
        print_long(path, name, &status);
    else
        warn("%s", path), failed = 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **names_in(DIR *directory, size_t *count) {
    char **names = NULL;
    size_t room = 0;
    *count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.' && !all) continue;
        if (*count == room) names = realloc(names, (room = room ? 2 * room : 32) * sizeof *names);
        if (!names) err(1, "names");
        names[(*count)++] = strdup(entry->d_name);
    }
    if (*count) qsort(names, *count, sizeof *names, by_name);
    return names;
}

static void list(const char *folder) {
    DIR *directory = opendir(folder);
    size_t count;
    if (!directory) {
        warn("%s", folder);
        failed = 1;
        return;
    }
    char **names = names_in(directory, &count);
    closedir(directory);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        print(path, names[i]);
        free(names[i]);
    }
    free(names);
}

static int is_folder(const char *path) {
    struct stat status;
    return !folders_themselves && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Files first, then the content of the folders. */
static void list_all(int count, char **paths) {
    int printed = 0;
    for (int i = 0; i < count; i++) {
        struct stat status;
        if (is_folder(paths[i])) continue;
        if (lstat(paths[i], &status) == 0)
            print(paths[i], paths[i]), printed = 1;
        else
            warn("%s", paths[i]), failed = 1;
    }
    for (int i = 0; i < count; i++) {
        if (!is_folder(paths[i])) continue;
        if (count > 1) printf("%s%s:\n", printed ? "\n" : "", paths[i]);
        list(paths[i]);
        printed = 1;
    }
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "lad1")) != -1;) switch (letter) {
        case 'l': is_long = 1; break;
        case 'a': all = 1; break;
        case 'd': folders_themselves = 1; break;
        case '1': break;
        default: return 2;
        }
    static char *here[] = {"."};
    if (optind < argc)
        list_all(argc - optind, argv + optind);
    else
        list_all(1, here);
    return failed;
}
