/* open and its flags, and every error that one can provoke. */

#include "say.h"

#include <sys/syscall.h>

static void which_flags_win(void) {
    TITLE("flags");
    SAY(open("absent", O_RDONLY));
    SAY(close((int)SAY(open("new", O_RDWR | O_CREAT | O_EXCL, 0640))));
    SAY(open("new", O_RDWR | O_CREAT | O_EXCL, 0640));
    SAY(close((int)SAY(open("new", O_RDONLY | O_CREAT, 0600))));
    fill("new", "content");
    SAY(close((int)SAY(open("new", O_RDONLY | O_APPEND))));
    show("new");
    SAY(close((int)SAY(open("new", O_WRONLY | O_TRUNC))));
    show("new");
    fill("new", "content");
    SAY(close((int)SAY(open("new", O_WRONLY | O_CREAT | O_APPEND, 0600))));
    show("new");
    SAY(close((int)SAY(creat("new", 0600))));
    show("new");
    int fd = (int)SAY(open("new", O_RDONLY));
    SAY(write(fd, "x", 1));
    SAY(close(fd));
    fd = (int)SAY(open("new", O_WRONLY));
    SAY(read(fd, &fd, 1));
    SAY(close(3));
    SAY(close(3));
    SAY(close(-1));
}

static void directories(void) {
    char byte;
    TITLE("directories");
    SAY(mkdir("folder", 0755));
    SAY(open("folder", O_WRONLY));
    SAY(open("folder", O_RDWR));
    SAY(open("folder", O_RDONLY | O_CREAT, 0600));
    SAY(open("folder/absent", O_RDONLY));
    SAY(open("new/absent", O_RDONLY));
    SAY(open("new/", O_RDONLY));
    SAY(open("absent/", O_WRONLY | O_CREAT, 0600));
    SAY(open("new", O_RDONLY | O_DIRECTORY));
    int fd = (int)SAY(open("folder", O_RDONLY | O_DIRECTORY));
    SAY(read(fd, &byte, 1));
    SAY(write(fd, "x", 1));
    SAY(close(fd));
    fd = (int)SAY(open("folder/", O_RDONLY));
    SAY(openat(fd, "inside", O_WRONLY | O_CREAT, 0600));
    SAY(openat(fd, "../new", O_RDONLY));
    SAY(openat(fd, "", O_RDONLY));
    SAY(openat(99, "inside", O_RDONLY));
    SAY(openat(99, "/", O_RDONLY) >= 0);
    SAY(openat(4, "inside", O_RDONLY));
    for (int i = 3; i < 10; i++) close(i);
}

static void links(void) {
    TITLE("links");
    SAY(symlink("new", "to-new"));
    SAY(symlink("made", "dangling"));
    SAY(symlink("self", "self"));
    SAY(close((int)SAY(open("to-new", O_RDONLY))));
    SAY(open("to-new", O_RDONLY | O_NOFOLLOW));
    SAY(open("to-new", O_RDWR | O_CREAT | O_EXCL, 0600));
    SAY(open("dangling", O_RDONLY));
    SAY(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600));
    SAY(close((int)SAY(open("dangling", O_RDWR | O_CREAT, 0600))));
    SAY(access("made", F_OK));
    SAY(open("self", O_RDONLY));
    SAY(open("self", O_RDONLY | O_CREAT, 0600));
    SAY(symlink("new/", "to-new-folder"));
    SAY(open("to-new-folder", O_RDWR | O_CREAT, 0600));
    SAY(open("to-new-folder", O_RDWR));
}

static void paths_only(void) {
    char byte;
    struct stat status;
    TITLE("O_PATH");
    int fd = (int)SAY(open("new", O_PATH));
    SAY(read(fd, &byte, 1));
    SAY(write(fd, "x", 1));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(ftruncate(fd, 0));
    SAY(fchmod(fd, 0600));
    SAY(fstat(fd, &status));
    SAY(close(fd));
    fd = (int)SAY(open("to-new", O_PATH | O_NOFOLLOW));
    SAY(fstat(fd, &status));
    SAY(S_ISLNK(status.st_mode));
    SAY(close(fd));
}

static void bad_arguments(void) {
    static char name[300], path[5000];
    TITLE("bad arguments");
    memset(name, 'n', 255);
    SAY(close((int)SAY(open(name, O_WRONLY | O_CREAT, 0600))));
    name[255] = 'n';
    SAY(open(name, O_WRONLY | O_CREAT, 0600));
    for (int i = 0; i < 4094; i += 2) memcpy(path + i, "./", 2);
    strcpy(path + 4090, "new");
    SAY(close((int)SAY(open(path, O_RDONLY))));
    strcpy(path + 4090, "././new");
    SAY(open(path, O_RDONLY));
    SAY(open(BAD, O_RDONLY));
    SAY(open((char *)-4096, O_RDONLY));
    SAY(open("", O_RDONLY));
    SAY(open("", O_RDONLY | O_CREAT, 0600));
    SAY(open("/dev/null/x", O_RDONLY));
    SAY(open("/dev/nothing-like-this", O_RDONLY));
    SAY(close((int)SAY(open("/dev/null", O_RDWR | O_TRUNC))));
}

int main(void) {
    which_flags_win();
    directories();
    links();
    paths_only();
    bad_arguments();
    return 0;
}
