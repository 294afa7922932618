/* System V objects: keys, ids and rights. (ipc.h, x86-64) */
#ifndef SYS_IPC_H
#define SYS_IPC_H

#include <sys/types.h>

#define IPC_PRIVATE ((key_t)0)
#define IPC_CREAT 01000
#define IPC_EXCL 02000
enum { IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO };

typedef int key_t;

/* `seq` is the upper part of the id. */
struct ipc_perm {
    key_t __key;
    uid_t uid;
    gid_t gid;
    uid_t cuid;
    gid_t cgid;
    mode_t mode;
    unsigned short seq, unused_short;
    unsigned long unused[2];
};

#endif
