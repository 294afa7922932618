/* Files by name: directories, links, rights. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "syscall.h"

int mkdir(const char *path, mode_t mode) { return (int)CALL(mkdir, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    return (int)CALL(mkdirat, folder, path, mode);
}
int mknod(const char *path, mode_t mode, dev_t device) {
    return (int)CALL(mknod, path, mode, device);
}
int mkfifo(const char *path, mode_t mode) { return mknod(path, S_IFIFO | mode, 0); }
int rmdir(const char *path) { return (int)CALL(rmdir, path); }
int unlink(const char *path) { return (int)CALL(unlink, path); }
int unlinkat(int folder, const char *path, int flags) {
    return (int)CALL(unlinkat, folder, path, flags);
}
int rename(const char *from, const char *to) { return (int)CALL(rename, from, to); }

int remove(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) return -1;
    return S_ISDIR(status.st_mode) ? rmdir(path) : unlink(path);
}

int link(const char *from, const char *to) { return (int)CALL(link, from, to); }
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return (int)CALL(linkat, from_folder, from, to_folder, to, flags);
}
int symlink(const char *text, const char *path) { return (int)CALL(symlink, text, path); }
int symlinkat(const char *text, int folder, const char *path) {
    return (int)CALL(symlinkat, text, folder, path);
}
ssize_t readlink(const char *path, char *text, size_t bytes) {
    return CALL(readlink, path, text, bytes);
}
ssize_t readlinkat(int folder, const char *path, char *text, size_t bytes) {
    return CALL(readlinkat, folder, path, text, bytes);
}

int access(const char *path, int wish) { return (int)CALL(access, path, wish); }

/* The older call takes no flags; only the newer one does. */
int faccessat(int folder, const char *path, int wish, int flags) {
    return (int)(flags ? CALL(faccessat2, folder, path, wish, flags)
                       : CALL(faccessat, folder, path, wish));
}

int chmod(const char *path, mode_t mode) { return (int)CALL(chmod, path, mode); }
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    (void)flags;
    return (int)CALL(fchmodat, folder, path, mode);
}
int chown(const char *path, uid_t uid, gid_t gid) { return (int)CALL(chown, path, uid, gid); }
int lchown(const char *path, uid_t uid, gid_t gid) { return (int)CALL(lchown, path, uid, gid); }
mode_t umask(mode_t mask) { return (mode_t)CALL(umask, mask); }
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    return (int)CALL(utimensat, folder, path, times, flags);
}

int chdir(const char *path) { return (int)CALL(chdir, path); }
int fchdir(int fd) { return (int)CALL(fchdir, fd); }

/* The kernel's call answers with the length, zero included. */
char *getcwd(char *path, size_t bytes) { return CALL(getcwd, path, bytes) < 0 ? NULL : path; }
