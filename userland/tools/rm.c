/* rm: remove names of files; -r: folders with their content; -f: a missing file is no error. */

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int deep, forced, failed;

static void complain(const char *path) {
    if (forced && errno == ENOENT) return;
    warn("%s", path);
    failed = 1;
}

static void take_away(const char *path);

/* Read the folder from its beginning until it is empty: a removal moves the other entries. */
static void empty(const char *path) {
    int before = failed;
    for (int found = 1; found && failed == before;) {
        DIR *directory = opendir(path);
        if (!directory) {
            complain(path);
            return;
        }
        found = 0;
        for (struct dirent *entry; (entry = readdir(directory));) {
            char inner[4096];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            take_away(inner);
            found = 1;
        }
        closedir(directory);
    }
}

static void take_away(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        complain(path);
    } else if (!S_ISDIR(status.st_mode)) {
        if (unlink(path) < 0) complain(path);
    } else if (!deep) {
        warnx("%s is a folder: use -r", path);
        failed = 1;
    } else {
        empty(path);
        if (rmdir(path) < 0) complain(path);
    }
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "rRf")) != -1;) switch (letter) {
        case 'r':
        case 'R': deep = 1; break;
        case 'f': forced = 1; break;
        default: return 2;
        }
    if (optind == argc && !forced) errx(2, "usage: rm [-rf] PATH..");
    for (int i = optind; i < argc; i++) take_away(argv[i]);
    return failed;
}
