/* System V shared memory. */

#include <sys/shm.h>

#include "syscall.h"

int shmget(key_t key, size_t bytes, int flags) { return (int)CALL(shmget, key, bytes, flags); }
void *shmat(int id, const void *at, int flags) { return (void *)CALL(shmat, id, at, flags); }
int shmdt(const void *at) { return (int)CALL(shmdt, at); }
int shmctl(int id, int command, struct shmid_ds *status) {
    return (int)CALL(shmctl, id, command, status);
}
