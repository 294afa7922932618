/* How paths are walked: dots, slashes, links, lengths, and where we are. */

#include "say.h"

#include <dirent.h>

static char path[8192], root[4096];

static long same(const char *a, const char *b) {
    struct stat x, y;
    if (stat(a, &x) < 0 || stat(b, &y) < 0) return -1;
    return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Where we are, below where we began. */
static const char *here(void) {
    if (!getcwd(path, sizeof path)) return strerror(errno);
    return strncmp(path, root, strlen(root)) == 0 ? path + strlen(root) : path;
}

static void dots(void) {
    TITLE("dots and slashes");
    SAY(mkdir("a", 0755));
    SAY(mkdir("a/b", 0755));
    fill("a/b/f", "deep");
    SAY(same("a/b", "a/./b/."));
    SAY(same("a", "a/b/.."));
    SAY(same("a", "a//b///../"));
    SAY(same(".", "a/b/../.."));
    SAY(same("/", "/.."));
    SAY(same("/", "/../../."));
    SAY(same("a/b/f", "./a/../a/b/../b/f"));
    SAY(same("a/b/f", "a/b/f/"));
    SAY(same("a/b/f", "a/b/f/."));
    SAY(same("a/b/f", "a/b/f/.."));
    SAY(same("a", "a/absent/.."));
    SAY(same("//", "/"));
}

static void links(void) {
    TITLE("links");
    SAY(symlink("a", "to-a"));
    SAY(symlink("../a/b", "a/to-b"));
    SAY(symlink("/", "to-root"));
    SAY(symlink("to-a", "twice"));
    SAY(symlink("f", "a/b/lf"));
    SAY(same("to-a", "a"));
    SAY(same("a/to-b/f", "a/b/f"));
    SAY(same("to-root", "/"));
    SAY(same("to-root/..", "/"));
    SAY(same("twice/b/..", "a"));
    SAY(same("to-a/..", "."));
    SAY(same("a/b/lf", "a/b/f"));
    SAY(same("a/b/lf/", "a/b/f"));
    SAY(symlink("loop2", "loop1"));
    SAY(symlink("loop1", "loop2"));
    SAY(same("loop1", "a"));
    SAY(same("loop1/x", "a"));
    SAY(open("loop1", O_RDONLY));
    SAY(mkdir("loop1", 0755));
    SAY(mkdir("loop1/x", 0755));
    SAY(unlink("loop1/x"));
    char from[16], to[16] = "a";
    for (int i = 0; i < 41; i++) {
        snprintf(from, sizeof from, "chain%d", i);
        if (symlink(to, from) < 0) printf("symlink failed\n");
        strcpy(to, from);
    }
    SAY(same("chain39", "a"));
    SAY(same("chain40", "a"));
    struct stat status;
    SAY(lstat("chain40", &status));
    SAY(lstat("chain40/b", &status));
    SAY(lstat("to-a/", &status));
    SAY(S_ISDIR(status.st_mode));
    SAY(lstat("to-a", &status));
    SAY(S_ISLNK(status.st_mode) ? status.st_size : -2);
    SAY(fstatat(AT_FDCWD, "to-a", &status, AT_SYMLINK_NOFOLLOW));
    SAY(S_ISLNK(status.st_mode));
    SAY(fstatat(AT_FDCWD, "to-a", &status, 0));
    SAY(S_ISDIR(status.st_mode));
    SAY(fstatat(AT_FDCWD, "", &status, 0));
    SAY(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH));
    SAY(fstatat(AT_FDCWD, "a", &status, 0x1));
    SAY(fstatat(99, "a", &status, 0));
    SAY(fstatat(99, "", &status, AT_EMPTY_PATH));
    SAY(fstatat(0, "", BAD, AT_EMPTY_PATH));
}

static void lengths(void) {
    static char name[300];
    TITLE("lengths");
    memset(name, 'x', 255);
    SAY(mkdir(name, 0755));
    SAY(rmdir(name));
    name[255] = 'x';
    SAY(mkdir(name, 0755));
    SAY(unlink(name));
    SAY(symlink("a", name));
    SAY(rename("a", name));
    struct stat status;
    SAY(stat(name, &status));
    memset(path, '/', 4095);
    SAY(stat(path, &status));
    path[4095] = '/';
    SAY(stat(path, &status));
    static char target[4200];
    memset(target, 't', 4095);
    SAY(symlink(target, "long"));
    SAY(lstat("long", &status) == 0 ? status.st_size : -2);
    target[4095] = 't';
    SAY(symlink(target, "longer"));
    SAY(stat("long", &status));
}

static void where_we_are(void) {
    TITLE("the working folder");
    SAY(chdir("a/b"));
    printf("%s\n", here());
    SAY(chdir(".."));
    printf("%s\n", here());
    SAY(chdir("to-b"));
    printf("%s\n", here());
    SAY(chdir("absent"));
    SAY(chdir("f"));
    SAY(chdir("f/x"));
    SAY(chdir(""));
    SAY(chdir(BAD));
    int fd = (int)SAY(open("..", O_RDONLY));
    SAY(fchdir(fd));
    printf("%s\n", here());
    close(fd);
    fd = (int)SAY(open("b/f", O_RDONLY));
    SAY(fchdir(fd));
    SAY(fchdir(99));
    close(fd);
    SAY(getcwd(path, 1) != NULL);
    SAY(errno == ERANGE);
    SAY(getcwd(path, 0) != NULL);
    SAY(getcwd(BAD, 100) != NULL);
    SAY(mkdir("gone", 0755));
    SAY(chdir("gone"));
    SAY(rmdir("../gone"));
    printf("%s\n", here());
    SAY(open("new", O_WRONLY | O_CREAT, 0644));
    SAY(mkdir("new", 0755));
    SAY(chdir("."));
    SAY(access("..", F_OK));
    DIR *directory = opendir(".");
    SAY(directory != NULL);
    if (directory) SAY(readdir(directory) != NULL);
    SAY(chdir(".."));
    printf("%s\n", here());
    SAY(chdir("/"));
    printf("%s\n", here());
}

int main(void) {
    umask(022);
    if (!getcwd(root, sizeof root)) return 1;
    dots();
    links();
    lengths();
    where_we_are();
    return 0;
}
