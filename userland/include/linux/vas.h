/* Virtual address spaces as a kernel's header declares them: the numbers of the RFC's calls and of
 * its author's later ones, and the structures that they fill. Nothing here is a C library's, so it serves any of them. Programs
 * of 2017 were written against such a header: they make the calls by syscall(2), or have a library
 * of their own that does. vas.h has functions instead, and what came after the RFC. */
#ifndef LINUX_VAS_H
#define LINUX_VAS_H

#include <stdint.h>

/* 1000 + the RFC's: Linux has since given 332 to 334 to others. */
#define __NR_vas_create 1332
#define __NR_vas_delete 1333
#define __NR_vas_find 1334
#define __NR_vas_attach 1335
#define __NR_vas_detach 1336
#define __NR_vas_switch 1337
#define __NR_active_vas 1338
#define __NR_vas_getattr 1339
#define __NR_vas_setattr 1340
#define __NR_vas_seg_create 1341
#define __NR_vas_seg_delete 1342
#define __NR_vas_seg_find 1343
#define __NR_vas_seg_attach 1344
#define __NR_vas_seg_detach 1345
#define __NR_vas_seg_getattr 1346
#define __NR_vas_seg_setattr 1347

/* Checkpoint and restart, which the RFC's author added later. */
#define __NR_vas_fork 1348
#define __NR_vas_exec 1349

/* `mode` is that of a file, of which 0666 counts, and VAS_PERSISTENT: it outlives the power. */
#define VAS_PERSISTENT 0x10000

struct vas_attr {
    uint32_t mode;
    uint32_t user;
    uint32_t group;
};

struct vas_seg_attr {
    uint32_t mode;
    uint32_t user;
    uint32_t group;
};

#endif
