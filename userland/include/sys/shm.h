/* System V shared memory: a segment has a number, and lives until somebody removes it. */
#ifndef SYS_SHM_H
#define SYS_SHM_H

#include <sys/ipc.h>

#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#define SHM_DEST 01000
#define SHM_LOCKED 02000
enum { SHM_LOCK = 11, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY };

struct shmid_ds {
    struct ipc_perm shm_perm;
    size_t shm_segsz;
    time_t shm_atime, shm_dtime, shm_ctime;
    pid_t shm_cpid, shm_lpid;
    unsigned long shm_nattch;
    unsigned long unused[2];
};

struct shminfo {
    unsigned long shmmax, shmmin, shmmni, shmseg, shmall;
    unsigned long unused[4];
};

/* In pages, but for the first. */
struct shm_info {
    int used_ids;
    unsigned long shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};

int shmget(key_t key, size_t bytes, int flags);
void *shmat(int id, const void *at, int flags);
int shmdt(const void *at);
int shmctl(int id, int command, struct shmid_ds *status);

#endif
