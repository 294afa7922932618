/* What is known of files: stat in all its forms, folders read, rights asked, modes and times. */

#include "say.h"

#include <dirent.h>

static void print(const char *path) {
    struct stat s;
    if (lstat(path, &s) < 0) {
        printf("%s: error %d\n", path, errno);
        return;
    }
    printf("%s: mode %o links %lu size %ld own %d\n", path, s.st_mode, s.st_nlink,
           S_ISDIR(s.st_mode) ? 0 : s.st_size, s.st_uid == geteuid() && s.st_gid == getegid());
}

static void forms(void) {
    struct stat s, t;
    struct statx x;
    TITLE("stat");
    fill("f", "12345");
    SAY(mkdir("d", 0750));
    SAY(symlink("f", "l"));
    SAY(mkfifo("p", 0644));
    print("f"), print("d"), print("l"), print("p"), print("absent"), print("f/x");
    SAY(stat("l", &s) == 0 && lstat("f", &t) == 0 && s.st_ino == t.st_ino);
    SAY(s.st_blksize);
    SAY((s.st_size + 511) / 512 <= s.st_blocks || s.st_blocks == 0);
    SAY(stat("absent", &s));
    SAY(stat("", &s));
    SAY(stat("f", BAD));
    SAY(stat(BAD, &s));
    SAY(fstat(99, &s));
    SAY(fstat(0, BAD));
    SAY(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
    printf("%o %lu %u %d\n", x.stx_mode, x.stx_size, x.stx_nlink,
           (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    SAY(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
    printf("%o %lu\n", x.stx_mode, x.stx_size);
    SAY(statx(AT_FDCWD, "absent", 0, STATX_BASIC_STATS, &x));
    SAY(statx(AT_FDCWD, "", 0, STATX_BASIC_STATS, &x));
    SAY(statx(99, "f", 0, STATX_BASIC_STATS, &x));
    SAY(statx(AT_FDCWD, "f", 0x1, STATX_BASIC_STATS, &x));
    SAY(statx(AT_FDCWD, "f", 0, 0x80000000u, &x));
    SAY(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, BAD));
    int ends[2];
    SAY(pipe(ends));
    SAY(fstat(ends[0], &s));
    SAY(S_ISFIFO(s.st_mode));
    close(ends[0]), close(ends[1]);
    SAY(stat("/dev/null", &s));
    SAY(S_ISCHR(s.st_mode) && s.st_rdev == 0x103);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void folders(void) {
    char names[32][32], buffer[4096];
    int count = 0;
    TITLE("getdents64");
    for (char name[] = "d/a"; name[2] < 'h'; name[2]++) fill(name, "");
    SAY(mkdir("d/sub", 0755));
    SAY(symlink("a", "d/z"));
    DIR *directory = opendir("d");
    for (struct dirent *entry; (entry = readdir(directory));)
        snprintf(names[count++], sizeof names[0], "%s %d", entry->d_name, entry->d_type);
    SAY(closedir(directory));
    qsort(names, (size_t)count, sizeof names[0], by_name);
    for (int i = 0; i < count; i++) printf("  %s\n", names[i]);
    int fd = (int)SAY(open("d", O_RDONLY));
    long first = getdents64(fd, buffer, sizeof buffer);
    SAY(first > 0);
    SAY(getdents64(fd, buffer, sizeof buffer));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(getdents64(fd, buffer, sizeof buffer) == first);
    SAY(lseek(fd, 0, SEEK_SET));
    int parts = 0;
    for (long got; (got = getdents64(fd, buffer, 64)) != 0 && parts < 100; parts++)
        if (got < 0) break;
    SAY(parts > 1);
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(getdents64(fd, buffer, 10));
    SAY(getdents64(fd, BAD, 4096));
    SAY(unlink("d/a"));
    close(fd);
    fd = (int)SAY(open("f", O_RDONLY));
    SAY(getdents64(fd, buffer, sizeof buffer));
    close(fd);
    SAY(getdents64(99, buffer, sizeof buffer));
    SAY(opendir("absent") != NULL);
    SAY(opendir("f") != NULL);
}

static void rights(void) {
    TITLE("access, chmod");
    SAY(access("f", F_OK));
    SAY(access("f", R_OK | W_OK));
    SAY(access("f", X_OK));
    SAY(access("absent", F_OK));
    SAY(access("f", 99));
    SAY(access(BAD, F_OK));
    SAY(access("", F_OK));
    SAY(access("f/x", F_OK));
    SAY(faccessat(AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
    SAY(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    SAY(faccessat(99, "f", R_OK, 0));
    SAY(faccessat(AT_FDCWD, "f", R_OK, 0x1));
    SAY(chmod("f", 0751));
    print("f");
    SAY(access("f", X_OK));
    SAY(chmod("l", 04640));
    print("f"), print("l");
    SAY(chmod("f", 0177777));
    print("f");
    SAY(chmod("absent", 0));
    SAY(chmod("f/x", 0));
    SAY(chmod("", 0));
    SAY(chmod(BAD, 0));
    int fd = (int)SAY(open("f", O_RDONLY));
    SAY(fchmod(fd, 0600));
    print("f");
    SAY(fchmod(99, 0600));
    close(fd);
    SAY(fchmodat(AT_FDCWD, "d", 01755, 0));
    print("d");
    SAY(fchmodat(99, "d", 0, 0));
    SAY(chown("f", -1u, -1u));
    SAY(chown("f", geteuid(), getegid()));
    SAY(chown("absent", -1u, -1u));
    SAY(fchown(99, -1u, -1u));
    SAY(lchown("l", -1u, -1u));
}

static void masks(void) {
    TITLE("umask");
    SAY(umask(027));
    SAY(umask(07777));
    SAY(umask(027));
    SAY(close(creat("m1", 0666)));
    SAY(mkdir("m2", 0777));
    SAY(mkfifo("m3", 0666));
    SAY(mknod("m4", S_IFREG | 0666, 0));
    SAY(mknod("m4", S_IFREG | 0666, 0));
    SAY(mknod("m5", 0666, 0));
    SAY(mknod("m6", S_IFDIR | 0755, 0));
    SAY(symlink("m1", "m7"));
    print("m1"), print("m2"), print("m3"), print("m4"), print("m5"), print("m7");
    SAY(umask(022));
}

static void print_times(const char *path) {
    struct stat s;
    if (lstat(path, &s) < 0) return;
    printf("%s: %ld.%09ld %ld.%09ld\n", path, s.st_atim.tv_sec, s.st_atim.tv_nsec, s.st_mtim.tv_sec,
           s.st_mtim.tv_nsec);
}

static void times(void) {
    struct timespec both[2] = {{1000, 5}, {2000, 999999999}},
                    only_second[2] = {{0, UTIME_OMIT}, {3, 0}};
    struct timespec wrong[2] = {{1, 1000000000}, {1, 0}},
                    none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct stat before, after;
    TITLE("utimensat");
    SAY(utimensat(AT_FDCWD, "f", both, 0));
    print_times("f");
    SAY(utimensat(AT_FDCWD, "f", only_second, 0));
    print_times("f");
    SAY(utimensat(AT_FDCWD, "l", both, AT_SYMLINK_NOFOLLOW));
    print_times("l"), print_times("f");
    SAY(utimensat(AT_FDCWD, "f", wrong, 0));
    SAY(utimensat(AT_FDCWD, "absent", both, 0));
    SAY(utimensat(AT_FDCWD, "absent", none, 0));
    SAY(utimensat(AT_FDCWD, "f", both, 0x1));
    SAY(utimensat(99, "f", both, 0));
    SAY(utimensat(AT_FDCWD, "f", BAD, 0));
    int fd = (int)SAY(open("f", O_RDWR));
    SAY(futimens(fd, both));
    print_times("f");
    SAY(stat("f", &before));
    SAY(write(fd, "x", 1));
    SAY(stat("f", &after));
    SAY(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
    SAY(after.st_atim.tv_sec == before.st_atim.tv_sec);
    SAY(futimens(fd, NULL));
    SAY(stat("f", &after));
    SAY(after.st_mtim.tv_sec > 3000);
    SAY(futimens(99, both));
    close(fd);
    SAY(utimensat(AT_FDCWD, "d", both, 0));
    SAY(stat("d", &before));
    fill("d/newer", "");
    SAY(stat("d", &after));
    SAY(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
}

int main(void) {
    umask(022);
    forms();
    folders();
    rights();
    masks();
    times();
    return 0;
}
