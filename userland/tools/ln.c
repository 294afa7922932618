/* ln: another name for a file; -s: a symbolic link; -f: replace an existing file. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int symbolic = 0, forced = 0;
    for (int letter; (letter = getopt(argc, argv, "sf")) != -1;) switch (letter) {
        case 's': symbolic = 1; break;
        case 'f': forced = 1; break;
        default: return 2;
        }
    if (argc - optind < 1 || argc - optind > 2) errx(2, "usage: ln [-sf] FROM [TO]");
    const char *from = argv[optind], *to = argc - optind == 2 ? argv[optind + 1] : ".";
    struct stat status;
    char path[4096];
    const char *slash = strrchr(from, '/');
    snprintf(path, sizeof path, "%s/%s", to, slash ? slash + 1 : from);
    if (stat(to, &status) == 0 && S_ISDIR(status.st_mode)) to = path;
    if (forced) unlink(to);
    if ((symbolic ? symlink : link)(from, to) < 0) err(1, "%s to %s", to, from);
    return 0;
}
