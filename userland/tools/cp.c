/* cp: copy a file to another name, or files into a folder; -r: folders with their content. */

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int deep, failed;

static void copy(const char *from, const char *to);

static void complain(const char *path) {
    warn("%s", path);
    failed = 1;
}

static void copy_bytes(int from, int to, const char *path) {
    static char buffer[16384];
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, now; done < got; done += now)
            if ((now = write(to, buffer + done, (size_t)(got - done))) < 0) {
                complain(path);
                return;
            }
    if (got < 0) complain(path);
}

static void copy_file(const char *from, const char *to, mode_t mode) {
    struct stat there;
    int in = open(from, O_RDONLY);
    if (in < 0) {
        complain(from);
        return;
    }
    int out = open(to, O_WRONLY | O_CREAT, mode & 0777);
    struct stat here;
    fstat(in, &here);
    if (out < 0)
        complain(to);
    else if (fstat(out, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev)
        warnx("%s and %s are the same file", from, to), failed = 1;
    else {
        if (ftruncate(out, 0) < 0 && errno != EINVAL) complain(to);
        copy_bytes(in, out, to);
    }
    close(in);
    if (out >= 0) close(out);
}

static void copy_folder(const char *from, const char *to, mode_t mode) {
    DIR *directory = deep ? opendir(from) : NULL;
    if (!deep)
        warnx("%s is a folder: use -r", from), failed = 1;
    else if (!directory)
        complain(from);
    if (!directory) return;
    if (mkdir(to, mode & 0777) < 0 && errno != EEXIST) complain(to);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char inner_from[4096], inner_to[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inner_from, sizeof inner_from, "%s/%s", from, entry->d_name);
        snprintf(inner_to, sizeof inner_to, "%s/%s", to, entry->d_name);
        copy(inner_from, inner_to);
    }
    closedir(directory);
}

static void copy_link(const char *from, const char *to) {
    char target[4096];
    ssize_t length = readlink(from, target, sizeof target - 1);
    if (length < 0) {
        complain(from);
        return;
    }
    target[length] = '\0';
    if (symlink(target, to) < 0) complain(to);
}

static void copy(const char *from, const char *to) {
    struct stat status;
    if ((deep ? lstat : stat)(from, &status) < 0)
        complain(from);
    else if (S_ISDIR(status.st_mode))
        copy_folder(from, to, status.st_mode);
    else if (S_ISLNK(status.st_mode))
        copy_link(from, to);
    else
        copy_file(from, to, status.st_mode);
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "rR")) != -1;) {
        if (letter == '?') return 2;
        deep = 1;
    }
    if (argc - optind < 2) errx(2, "usage: cp [-r] FROM.. TO");
    const char *to = argv[argc - 1];
    struct stat status;
    int into = stat(to, &status) == 0 && S_ISDIR(status.st_mode);
    if (argc - optind > 2 && !into) errx(1, "%s is no folder", to);
    for (int i = optind; i < argc - 1; i++) {
        char path[4096];
        const char *slash = strrchr(argv[i], '/');
        snprintf(path, sizeof path, "%s/%s", to, slash ? slash + 1 : argv[i]);
        copy(argv[i], into ? path : to);
    }
    return failed;
}
