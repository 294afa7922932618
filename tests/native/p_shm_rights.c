/* Who may do what with a System V segment: owner, maker, group, others, root; effective ids count. */
#include "p_native.h"

#include <grp.h>
#include <sys/fsuid.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096ul

static key_t key;

/* Everything that a user may try, in a process of its own. */
static void as(const char *who, int uid, int gid, int extra, void (*try)(int), int id) {
    if (fork() == 0) {
        gid_t groups[] = {extra};
        say("%s:\n", who);
        if (setgroups(extra != 0, groups) != 0 || setegid(gid) != 0 || seteuid(uid) != 0) _exit(99);
        try(id);
        _exit(0);
    }
    wait(NULL);
}

static int attach(int id, int flags) {
    void *at = shmat(id, NULL, flags);
    if (at == (void *)-1) return -1;
    return shmdt(at);
}

static void everything(int id) {
    struct shmid_ds status;
    TRY(shmget(key, 1, 0) == id);
    TRY(shmget(key, 1, 0400) == id);
    TRY(shmget(key, 1, 0200) == id);
    TRY(shmget(key, 1, 0600) == id);
    TRY(shmget(key, 1, 0006) == id);
    TRY(shmget(key, 1, 0100) == id);
    TRY(attach(id, SHM_RDONLY));
    TRY(attach(id, 0));
    TRY(attach(id, SHM_EXEC));
    TRY(attach(id, SHM_EXEC | SHM_RDONLY));
    TRY(shmctl(id, IPC_STAT, &status));
    TRY(shmctl(id & 32767, SHM_STAT, &status) == id);
    TRY(shmctl(id & 32767, 15 /* SHM_STAT_ANY */, &status) == id);
    say("%o of %d %d, made by %d %d\n", status.shm_perm.mode, status.shm_perm.uid,
        status.shm_perm.gid, status.shm_perm.cuid, status.shm_perm.cgid);
    TRY(shmctl(id, IPC_SET, &status));
    TRY(shmctl(id, SHM_LOCK, NULL));
    TRY(shmctl(id, SHM_UNLOCK, NULL));
}

static void removing(int id) { TRY(shmctl(id, IPC_RMID, NULL)); }

static void made_by(int id) {
    (void)id;
    TRY(shmget(key, PAGE, IPC_CREAT | 0600) >= 0);
}

static void fs_ids(int id) {
    setfsuid(2000);
    TRY(attach(id, 0));
}

static void set(int id, int uid, int gid, int mode) {
    struct shmid_ds status = {.shm_perm = {.mode = mode, .uid = uid, .gid = gid}};
    say("now %o of %d %d: %d\n", mode, uid, gid, shmctl(id, IPC_SET, &status));
}

int main(void) {
    key = 0x57000000 + getpid();
    as("the maker", 2000, 2001, 0, made_by, 0);
    int id = shmget(key, 1, 0), modes[] = {0600, 0440, 0007, 0640, 0777, 0000};
    for (int i = 0; i < 6; i++) {
        set(id, 3000, 3001, modes[i]);
        as("root", 0, 0, 0, everything, id);
        as("the maker", 2000, 2002, 0, everything, id);
        as("the owner", 3000, 3002, 0, everything, id);
        as("the maker's group", 4000, 2001, 0, everything, id);
        as("the group", 4000, 3001, 0, everything, id);
        as("in the group", 4000, 4001, 3001, everything, id);
        as("another", 4000, 4001, 0, everything, id);
        as("another fsuid", 4000, 4001, 0, fs_ids, id);
    }
    as("another", 4000, 3001, 2001, removing, id);
    as("the owner", 3000, 3002, 0, removing, id);
    as("the maker", 2000, 2002, 0, removing, id);
    as("the maker", 2000, 2001, 0, made_by, 0);
    id = shmget(key, 1, 0);
    as("the maker", 2000, 2002, 0, removing, id);
    TRY(shmctl(id, IPC_STAT, NULL));
    return 0;
}
