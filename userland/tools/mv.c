/* mv: give a file another name, or move files into a folder, within one file system. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
    if (argc < 3) errx(2, "usage: mv FROM.. TO");
    const char *to = argv[argc - 1];
    struct stat status;
    int into = stat(to, &status) == 0 && S_ISDIR(status.st_mode), failed = 0;
    if (argc > 3 && !into) errx(1, "%s is no folder", to);
    for (int i = 1; i < argc - 1; i++) {
        char path[4096];
        const char *slash = strrchr(argv[i], '/');
        snprintf(path, sizeof path, "%s/%s", to, slash ? slash + 1 : argv[i]);
        if (rename(argv[i], into ? path : to) == 0) continue;
        warn("%s to %s", argv[i], into ? path : to);
        failed = 1;
    }
    return failed;
}
