/* User and group ids, and who may signal whom.  Runs as root. */
#include "p_native.h"
#include <grp.h>
#include <sys/fsuid.h>

/* The system calls themselves: a C library would make every thread change. */
static void ids(void) {
    uid_t u[3];
    gid_t g[3];
    syscall(SYS_getresuid, &u[0], &u[1], &u[2]);
    syscall(SYS_getresgid, &g[0], &g[1], &g[2]);
    long fu = syscall(SYS_setfsuid, -1), fg = syscall(SYS_setfsgid, -1);
    say("  uid %d %d %d %ld gid %d %d %d %ld\n", u[0], u[1], u[2], fu, g[0], g[1], g[2], fg);
}

#define IN_CHILD(...)                     \
    do {                                  \
        pid_t pid_ = fork();              \
        if (pid_ == 0) {                  \
            __VA_ARGS__;                  \
            ids();                        \
            _exit(0);                     \
        }                                 \
        waitpid(pid_, NULL, 0);           \
    } while (0)

static void users(void) {
    IN_CHILD(TRY(syscall(SYS_setuid, 1000)); TRY(syscall(SYS_setuid, 0)));
    IN_CHILD(TRY(syscall(SYS_setuid, -1)); TRY(syscall(SYS_setgid, -1)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setuid, 1002)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setuid, 1001)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setreuid, 1001, 1000)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setreuid, 1002, -1)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setreuid, -1, 1002)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setreuid, -1, 1000)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1000, 1001, 1002)); TRY(syscall(SYS_setreuid, -1, -1)));
    IN_CHILD(TRY(syscall(SYS_setresuid, -1, 1001, -1)); TRY(syscall(SYS_setresuid, 1001, 0, 1001)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1, 2, 3)); TRY(syscall(SYS_setresuid, 3, 1, 2));
             TRY(syscall(SYS_setresuid, 4, -1, -1)));
    IN_CHILD(TRY(syscall(SYS_setreuid, 5, 6)));
    IN_CHILD(TRY(syscall(SYS_setreuid, -1, 6)); TRY(syscall(SYS_setuid, 0)));
    IN_CHILD(TRY(syscall(SYS_setfsuid, 9)); TRY(syscall(SYS_setfsuid, 10));
             TRY(syscall(SYS_setresuid, -1, 7, -1)));
    IN_CHILD(TRY(syscall(SYS_setresuid, 1, 2, 3)); TRY(syscall(SYS_setfsuid, 9));
             TRY(syscall(SYS_setfsuid, 3)));
}

static void groups(void) {
    IN_CHILD(TRY(syscall(SYS_setgid, 1000)); TRY(syscall(SYS_setgid, 0)));
    IN_CHILD(TRY(syscall(SYS_setresgid, 1, 2, 3)); TRY(syscall(SYS_setregid, 7, 8)));
    IN_CHILD(TRY(syscall(SYS_setregid, 7, -1)); TRY(syscall(SYS_setregid, -1, 9)));
    IN_CHILD(TRY(syscall(SYS_setresgid, 1, 2, 3)); TRY(syscall(SYS_setresuid, 1, 2, 3));
             TRY(syscall(SYS_setregid, 3, 1)); TRY(syscall(SYS_setregid, 2, 3));
             TRY(syscall(SYS_setgid, 1)); TRY(syscall(SYS_setresgid, 9, -1, -1));
             TRY(syscall(SYS_setfsgid, 1)));
    IN_CHILD(gid_t list[] = {30, 10, 20}; gid_t got[4] = {0}; TRY(syscall(SYS_setgroups, 3, list));
             TRY(syscall(SYS_getgroups, 0, NULL)); TRY(syscall(SYS_getgroups, 2, got));
             TRY(syscall(SYS_getgroups, -1, got)); TRY(syscall(SYS_getgroups, 4, got));
             say("%d %d %d\n", got[0], got[1], got[2]); TRY(syscall(SYS_setgroups, 65537, list));
             TRY(syscall(SYS_setgroups, 1, 8L)); TRY(syscall(SYS_setuid, 5));
             TRY(syscall(SYS_setgroups, 0, NULL)); TRY(syscall(SYS_getresuid, 8L, 8L, 8L)));
}

/* May a process with the first ids signal one with the second? */
static void may_signal(uid_t real, uid_t effective, uid_t saved, uid_t theirs, uid_t their_saved) {
    int ready[2];
    char byte = 0;
    if (pipe(ready) < 0) say("no pipe\n");
    pid_t target = fork();
    if (target == 0) {
        syscall(SYS_setresuid, theirs, 77, their_saved);
        if (write(ready[1], &byte, 1) < 0) say("no word\n");
        for (;;) pause();
    }
    if (read(ready[0], &byte, 1) < 0) say("no word came\n");
    close(ready[0]);
    close(ready[1]);
    pid_t sender = fork();
    if (sender == 0) {
        syscall(SYS_setresuid, real, effective, saved);
        int usual = syscall(SYS_kill, target, 0) ? errno : 0;
        int go_on = syscall(SYS_kill, target, SIGCONT) ? errno : 0;
        int thread = syscall(SYS_tkill, target, 0) ? errno : 0;
        say("%d/%d/%d to %d/77/%d: kill %d, SIGCONT %d, tkill %d\n", real, effective, saved, theirs,
            their_saved, usual, go_on, thread);
        _exit(0);
    }
    waitpid(sender, NULL, 0);
    kill(target, SIGKILL);
    waitpid(target, NULL, 0);
}

int main(void) {
    users();
    groups();
    may_signal(0, 0, 0, 1, 2);
    may_signal(1, 5, 5, 1, 2);
    may_signal(5, 1, 5, 1, 2);
    may_signal(2, 5, 5, 1, 2);
    may_signal(5, 5, 1, 1, 2);
    may_signal(77, 77, 77, 1, 2);
    may_signal(0, 5, 5, 1, 2);
}
