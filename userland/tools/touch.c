/* touch: make files, or set the times of existing ones to now; -c: make none; -a, -m: only the time
 * of access, or of change; -r FILE: the times of another file. */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int touch(const char *path, const struct timespec times[2], int may_make) {
    if (utimensat(AT_FDCWD, path, times, 0) == 0) return 0;
    if (errno != ENOENT) return -1;
    if (!may_make) return 0;
    int file = open(path, O_WRONLY | O_CREAT, 0666);
    if (file < 0) return -1;
    int failed = futimens(file, times);
    close(file);
    return failed;
}

int main(int argc, char **argv) {
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct stat model;
    int may_make = 1, read_only = 0, changed_only = 0, failed = 0;
    for (int letter; (letter = getopt(argc, argv, "acmr:")) != -1;) switch (letter) {
        case 'a': read_only = 1; break;
        case 'c': may_make = 0; break;
        case 'm': changed_only = 1; break;
        case 'r':
            if (stat(optarg, &model) < 0) err(1, "%s", optarg);
            times[0] = model.st_atim;
            times[1] = model.st_mtim;
            break;
        default: return 2;
        }
    if (optind == argc) errx(2, "usage: touch [-acm] [-r FILE] PATH..");
    if (read_only && !changed_only) times[1].tv_nsec = UTIME_OMIT;
    if (changed_only && !read_only) times[0].tv_nsec = UTIME_OMIT;
    for (int i = optind; i < argc; i++)
        if (touch(argv[i], times, may_make) < 0) {
            warn("%s", argv[i]);
            failed = 1;
        }
    return failed;
}
