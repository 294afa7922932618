/* Names: making, changing and taking away files, folders and links. */

#include "say.h"

static char text[64];

static void folders(void) {
    TITLE("mkdir, rmdir");
    SAY(mkdir("d", 0755));
    SAY(mkdir("d", 0755));
    SAY(mkdir("d/", 0755));
    SAY(mkdir("d/e/", 0755));
    SAY(mkdir("absent/e", 0755));
    fill("f", "file");
    SAY(mkdir("f", 0755));
    SAY(mkdir("f/e", 0755));
    SAY(mkdir(".", 0755));
    SAY(mkdir("d/..", 0755));
    SAY(mkdir("/", 0755));
    SAY(mkdir("", 0755));
    SAY(mkdir(BAD, 0755));
    SAY(rmdir("d"));
    SAY(rmdir("f"));
    SAY(rmdir("absent"));
    SAY(rmdir("f/x"));
    SAY(rmdir("d/."));
    SAY(rmdir("d/e/.."));
    SAY(rmdir("d/e/"));
    SAY(rmdir("d"));
    SAY(rmdir(""));
    SAY(rmdir(BAD));
}

static void unlinking(void) {
    TITLE("unlink");
    SAY(mkdir("d", 0755));
    SAY(unlink("d"));
    SAY(unlink("absent"));
    SAY(unlink("f/"));
    SAY(unlink("f/x"));
    SAY(unlink("d/."));
    SAY(unlink(""));
    SAY(unlink(BAD));
    int fd = (int)SAY(open("f", O_RDWR));
    SAY(unlink("f"));
    SAY(read(fd, text, 4));
    struct stat status;
    SAY(fstat(fd, &status) == 0 ? (long)status.st_nlink : -2);
    close(fd);
    SAY(unlink("f"));
    SAY(unlinkat(AT_FDCWD, "d", 0));
    SAY(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    SAY(unlinkat(AT_FDCWD, "d", 0x1));
    SAY(unlinkat(99, "d", 0));
}

static long links_of(const char *path) {
    struct stat status;
    return stat(path, &status) < 0 ? -1 : (long)status.st_nlink;
}

static void hard_links(void) {
    TITLE("link");
    fill("a", "hard");
    SAY(mkdir("d", 0755));
    SAY(link("a", "b"));
    SAY(links_of("a"));
    SAY(link("a", "b"));
    SAY(link("a", "d"));
    SAY(link("a", "d/c"));
    SAY(links_of("a"));
    SAY(link("absent", "x"));
    SAY(link("a", "absent/x"));
    SAY(link("d", "x"));
    SAY(link("a/x", "x"));
    SAY(link("", "x"));
    SAY(link("a", ""));
    SAY(link(BAD, "x"));
    SAY(link("a", BAD));
    SAY(link("a", "x/"));
    SAY(symlink("a", "s"));
    SAY(link("s", "s2"));
    SAY(readlink("s2", text, sizeof text));
    SAY(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
    SAY(links_of("a"));
    SAY(linkat(AT_FDCWD, "s", AT_FDCWD, "s4", 0x1));
    SAY(links_of("d"));
    SAY(mkdir("d/sub", 0755));
    SAY(links_of("d"));
    SAY(rmdir("d/sub"));
    SAY(links_of("d"));
    SAY(unlink("b"));
    SAY(links_of("a"));
}

static void symbolic_links(void) {
    TITLE("symlink, readlink");
    SAY(symlink("nowhere", "l"));
    SAY(symlink("nowhere", "l"));
    SAY(symlink("", "l2"));
    SAY(symlink("x", ""));
    SAY(symlink("x", "absent/l"));
    SAY(symlink("x", "a/l"));
    SAY(symlink("x", "d"));
    SAY(symlink("x", "l3/"));
    SAY(symlink(BAD, "l3"));
    SAY(symlink("x", BAD));
    memset(text, '.', sizeof text);
    SAY(readlink("l", text, sizeof text));
    SAY(strncmp(text, "nowhere.", 8));
    SAY(readlink("l", text, 3));
    SAY(readlink("l", text, 0));
    SAY(readlink("l", text, (size_t)-1));
    SAY(readlink("a", text, 5));
    SAY(readlink("d", text, 5));
    SAY(readlink("absent", text, 5));
    SAY(readlink("a/l", text, 5));
    SAY(readlink("", text, 5));
    SAY(readlink("l", BAD, 5));
    SAY(readlink(BAD, text, 5));
    SAY(unlink("l"));
    int folder = (int)SAY(open("d", O_RDONLY | O_DIRECTORY));
    SAY(symlinkat("deep", folder, "l"));
    SAY(readlinkat(folder, "l", text, sizeof text));
    SAY(readlink("d/l", text, sizeof text));
    SAY(readlinkat(99, "l", text, 5));
    SAY(readlinkat((int)SAY(open("a", O_RDONLY)), "l", text, 5));
    SAY(unlinkat(folder, "l", 0));
    SAY(mkdirat(folder, "made", 0700));
    SAY(unlinkat(folder, "made", AT_REMOVEDIR));
    close(folder);
    close(4);
}

static void renaming(void) {
    TITLE("rename");
    fill("one", "1");
    fill("two", "2");
    SAY(rename("one", "three"));
    SAY(rename("three", "two"));
    show("two");
    SAY(rename("absent", "x"));
    SAY(rename("two", "absent/x"));
    SAY(rename("two/x", "x"));
    SAY(rename("", "x"));
    SAY(rename("two", ""));
    SAY(rename(BAD, "x"));
    SAY(rename("two", BAD));
    SAY(mkdir("p", 0755));
    SAY(mkdir("p/q", 0755));
    SAY(mkdir("e", 0755));
    SAY(rename("two", "e"));
    SAY(rename("e", "two"));
    SAY(rename("e", "p"));
    SAY(rename("p", "e"));
    SAY(rename("e", "e/q/r"));
    SAY(rename("e", "e/inside"));
    SAY(rename("e/q", "e"));
    SAY(rename("e/.", "x"));
    SAY(rename("e", "."));
    SAY(rename("e", "x/."));
    SAY(rename("two", "new/"));
    SAY(rename("e", "new/"));
    SAY(rename("two", "two"));
    SAY(link("two", "same"));
    SAY(rename("two", "same"));
    SAY(links_of("two"));
    SAY(symlink("two", "sl"));
    SAY(rename("sl", "sl2"));
    SAY(readlink("sl2", text, sizeof text));
    SAY(rename("same", "sl2"));
    show("sl2");
    int folder = (int)SAY(open("new", O_RDONLY));
    SAY(rename("new/q", "q"));
    SAY(links_of("new"));
    SAY(rename("q", "new/q"));
    SAY(links_of("new"));
    close(folder);
}

int main(void) {
    umask(022);
    folders();
    unlinking();
    hard_links();
    symbolic_links();
    renaming();
    return 0;
}
