/* mkdir: make folders; -p: their parents too, and existing folders are no error. */

#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_with_parents(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0777) < 0 && errno != EEXIST;
        *slash = '/';
        if (failed) return -1;
    }
    struct stat status;
    if (mkdir(path, 0777) == 0) return 0;
    if (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return 0;
    errno = EEXIST;
    return -1;
}

int main(int argc, char **argv) {
    int parents = 0, failed = 0;
    for (int letter; (letter = getopt(argc, argv, "p")) != -1;) {
        if (letter == '?') return 2;
        parents = 1;
    }
    if (optind == argc) errx(2, "usage: mkdir [-p] PATH..");
    for (int i = optind; i < argc; i++)
        if ((parents ? make_with_parents(argv[i]) : mkdir(argv[i], 0777)) < 0) {
            warn("%s", argv[i]);
            failed = 1;
        }
    return failed;
}
