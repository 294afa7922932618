/* Who may do what: as root, and as two users. Must be started by root. */

#include "say.h"

#include <sys/wait.h>

enum { ONE = 1000, TWO = 2000, SHARED = 3000 };

/* Do something as a user, in a process of its own. */
static void as(uid_t uid, gid_t group, void (*scene)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        setgroups(1, &group);
        setgid(uid);
        setuid(uid);
        scene();
        exit(0);
    }
    waitpid(pid, &status, 0);
    if (status) printf("ended with %x\n", status);
}

static void print_owner(const char *path) {
    struct stat s;
    if (lstat(path, &s) < 0)
        printf("%s: error %d\n", path, errno);
    else
        printf("%s: %u %u %o\n", path, s.st_uid, s.st_gid, s.st_mode & 07777);
}

static void try_files(void) {
    static const char *const files[] = {"none", "owner", "group", "other", "all"};
    for (int i = 0; i < 5; i++) {
        int r = open(files[i], O_RDONLY), re = errno, w = open(files[i], O_WRONLY), we = errno;
        printf("%s: read %d write %d access %d %d %d\n", files[i], r < 0 ? re : 0, w < 0 ? we : 0,
               access(files[i], R_OK) ? errno : 0, access(files[i], W_OK) ? errno : 0,
               access(files[i], X_OK) ? errno : 0);
        if (r >= 0) close(r);
        if (w >= 0) close(w);
    }
}

static void try_folders(void) {
    struct stat s;
    SAY(open("closed", O_RDONLY));
    SAY(stat("closed/f", &s));
    SAY(open("closed/f", O_RDONLY));
    SAY(close((int)SAY(open("searchable/f", O_RDONLY))));
    SAY(open("searchable", O_RDONLY));
    SAY(close((int)SAY(open("listable", O_RDONLY))));
    SAY(stat("listable/f", &s));
    SAY(chdir("listable"));
    SAY(open("new", O_WRONLY | O_CREAT, 0644));
    SAY(mkdir("newdir", 0755));
    SAY(symlink("x", "newlink"));
    SAY(unlink("all"));
    SAY(rename("all", "all2"));
    SAY(link("all", "all3"));
    SAY(truncate("owner", 0));
    SAY(truncate("all", 3));
}

static void try_changes(void) {
    SAY(chmod("mine", 0600));
    SAY(chmod("owner", 0777));
    SAY(chown("mine", ONE, SHARED));
    SAY(chown("mine", ONE, TWO));
    SAY(chown("mine", TWO, -1u));
    SAY(chown("owner", ONE, -1u));
    SAY(chmod("mine", 02755));
    print_owner("mine");
    SAY(chown("mine", -1u, SHARED));
    print_owner("mine");
    struct timespec times[2] = {{1, 0}, {2, 0}};
    SAY(utimensat(AT_FDCWD, "mine", times, 0));
    SAY(utimensat(AT_FDCWD, "all", times, 0));
    SAY(utimensat(AT_FDCWD, "all", NULL, 0));
    SAY(utimensat(AT_FDCWD, "owner", NULL, 0));
}

/* What a change of owner, and a store, leave of the set-id bits. */
static void lose_set_id(void) {
    static const mode_t modes[] = {06755, 06744, 06600, 02710, 02700, 04711, 04600};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        int file = open("open/sets", O_RDWR | O_CREAT, 0600);
        SAY(chmod("open/sets", modes[i]));
        SAY(chown("open/sets", -1u, -1u));
        print_owner("open/sets");
        SAY(chmod("open/sets", modes[i]));
        SAY(write(file, "x", 1));
        print_owner("open/sets");
        close(file);
        unlink("open/sets");
    }
}

static void fill_shared(void) {
    fill("sticky/one", "1");
    fill("open/one", "1");
    fill("setgid/one", "1");
    print_owner("setgid/one");
    SAY(mkdir("setgid/dir", 0755));
    print_owner("setgid/dir");
}

static void take_from_shared(void) {
    SAY(unlink("sticky/one"));
    SAY(rename("sticky/one", "sticky/two"));
    SAY(rename("sticky/one", "open/two"));
    SAY(unlink("open/one"));
    SAY(chmod("sticky", 0777));
    SAY(rmdir("sticky"));
}

static void try_identities(void) {
    SAY(setuid(ONE));
    SAY(setuid(0));
    SAY(setuid(TWO));
    SAY(setgid(0));
    gid_t group = 0;
    SAY(setgroups(1, &group));
    SAY(setreuid(TWO, -1u));
    SAY(setresuid(-1u, 0, -1u));
    SAY(setresuid(-1u, -1u, -1u));
    SAY(setreuid(ONE, ONE));
    printf("%u %u %u %u\n", getuid(), geteuid(), getgid(), getegid());
}

/* Effective and real ids apart: files go by the effective one, access() by the real one. */
static void half_root(void) {
    SAY(setresuid(0, ONE, 0));
    SAY(open("owner", O_RDONLY));
    SAY(access("owner", R_OK));
    SAY(faccessat(AT_FDCWD, "owner", R_OK, AT_EACCESS));
    SAY(setresuid(-1u, 0, -1u));
    SAY(close((int)SAY(open("owner", O_RDONLY))));
    SAY(setresuid(ONE, -1u, TWO));
    printf("%u %u\n", getuid(), geteuid());
}

static void make(const char *path, mode_t mode) {
    fill(path, "text");
    chmod(path, mode);
    chown(path, 0, SHARED);
}

static void make_folder(const char *path, mode_t mode) {
    char inner[64];
    mkdir(path, 0755);
    snprintf(inner, sizeof inner, "%s/f", path);
    fill(inner, "in");
    chmod(inner, 0666);
    chmod(path, mode);
}

int main(void) {
    umask(022);
    if (geteuid() != 0) return printf("must be started by root\n"), 1;
    chmod(".", 0755);
    make("none", 0), make("owner", 0600), make("group", 0060), make("other", 0006);
    make("all", 0666);
    make_folder("closed", 0700), make_folder("searchable", 0711), make_folder("listable", 0744);
    fill("mine", "mine"), chown("mine", ONE, ONE);
    mkdir("sticky", 0777), chmod("sticky", 01777);
    mkdir("open", 0777), chmod("open", 0777);
    mkdir("setgid", 0777), chown("setgid", 0, SHARED), chmod("setgid", 02777);
    TITLE("files, as root"), try_files();
    TITLE("files, as a user"), as(ONE, ONE, try_files);
    TITLE("files, as a member of the group"), as(ONE, SHARED, try_files);
    TITLE("folders"), as(ONE, ONE, try_folders);
    TITLE("changes"), as(ONE, SHARED, try_changes);
    TITLE("shared folders"), as(ONE, ONE, fill_shared), as(TWO, TWO, take_from_shared);
    TITLE("set-id bits"), lose_set_id(), as(ONE, ONE, lose_set_id);
    TITLE("identities"), as(ONE, ONE, try_identities);
    TITLE("half root"), half_root();
    return 0;
}
