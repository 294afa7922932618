/* First-class virtual address spaces. A VAS is an address space with a name that no process owns;
 * a process attaches it, and each of its threads may then switch in: it sees the VAS's memory and
 * its process's own together. A segment is memory with a name and a fixed place, shown wherever
 * it is attached. Both live until they are deleted, whoever made them.
 *
 * Where not said otherwise a function returns 0, or -1 with errno set; `run.py manual` and
 * kernel/syscalls/vas.py list the errors. `type` is O_RDONLY, O_WRONLY or O_RDWR; `mode` is that of
 * a file, of which 0666 counts, and perhaps VAS_PERSISTENT; vid 0 is the process's own space. */
#ifndef VAS_H
#define VAS_H

#include <linux/vas.h> /* struct vas_attr, struct vas_seg_attr */
#include <stddef.h>
#include <sys/types.h>

#ifndef O_RDONLY /* as in fcntl.h */
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#endif

/* ---- Address spaces ------------------------------------------------------------------ */

/* A new one, or the one with this name; the result is its id, from 1. */
int vas_create(const char *name, unsigned mode);
int vas_find(const char *name);

/* Delete it, and the memory that was mapped inside; EBUSY while any process has it attached. */
int vas_delete(int vid);

/* Make it a view of a process (0: the caller). EFAULT: a region of the process is where the VAS
 * has one; the kernel's log names the two. */
int vas_attach(pid_t pid, int vid, int type);
int vas_detach(pid_t pid, int vid);

/* Let the calling thread see it from now on; 0 leads home. Registers stay, so code and stack must
 * be memory that is there as well: what the program was loaded with is, everywhere. Memory that
 * is mapped inside belongs to the VAS and outlives the process. */
int vas_switch(int vid);

/* Where the calling thread is. */
int active_vas(void);

int vas_getattr(int vid, struct vas_attr *attr);
int vas_setattr(int vid, const struct vas_attr *attr);

/* ---- Checkpoint and restart ---------------------------------------------------------- */

/* Freeze a process (0: the caller), which goes on; the result is the id of a VAS that holds the
 * checkpoint. It can be restarted any number of times, and the one that goes on there sees 0. */
int vas_fork(pid_t pid);

/* Let a process (0: the caller) go on as a checkpoint says. Its own program ends; so this returns
 * only for another process, or with -1. */
int vas_exec(pid_t pid, int vid);

/* ---- Segments ------------------------------------------------------------------------ */

/* `start` and `end` are multiples of 4,096. */
int vas_seg_create(const char *name, void *start, void *end, unsigned mode);
int vas_seg_find(const char *name);
int vas_seg_delete(int sid);

/* Show it in a VAS that nobody has attached, or with vid 0 in the process's own space. */
int vas_seg_attach(int vid, int sid, int type);
int vas_seg_detach(int vid, int sid);

int vas_seg_getattr(int sid, struct vas_seg_attr *attr);
int vas_seg_setattr(int sid, const struct vas_seg_attr *attr);

/* ---- Beyond the RFC ------------------------------------------------------------------ */

/* Copies: a VAS with the same segments and a copy of its memory; a segment with its contents. */
int vas_clone(int vid, const char *name, unsigned mode);
int vas_seg_clone(int sid, const char *name, unsigned mode);

enum { VAS_CTL_TAG = 1, VAS_CTL_PUSHED = 2, SEG_CTL_LOCKABLE = 1 };
enum { VAS_TAG_NONE, VAS_TAG_ANY, VAS_TAG_KEPT };

/* VAS_CTL_TAG: what its views ask of TLB tags. VAS_CTL_PUSHED: how many table entries and regions
 * the kernel wrote into the caller's view to make it follow changes elsewhere. */
int vas_ctl(int vid, int command, int value);

/* SEG_CTL_LOCKABLE: 1 if a switch is to take its lock (sharing policy `switch`). */
int vas_seg_ctl(int sid, int command, int value);

/* Show a segment in the caller's attachment of a VAS and in nobody else's. */
int vas_local_attach(int vid, int sid, int type);
int vas_local_detach(int vid, int sid);

/* The gate: from now on every vas_switch to this VAS goes on at `entry`, in whatever process. It
 * must lie in private memory that was mapped inside. `run.py manual vas` says what it stops. */
int vas_entry(int vid, void (*entry)(void));

/* As vas_attach, but inside only what the VAS has is seen, and nothing of the process: the caller's
 * next instruction and its stack must be there. With VAS_SIGSYS in `type` a system call inside is
 * a SIGSYS. `run.py manual vas` says more. */
enum { VAS_SIGSYS = 0x100 };
int vas_attach_bare(pid_t pid, int vid, int type);

/* As sigaltstack, and says where the stack is: in a VAS, with 0 at home, with -1 wherever the signal
 * finds the thread. A signal with SA_ONSTACK takes its thread there; the handler's return leads back
 * to where it was. flags: SS_DISABLE, SS_AUTODISARM. */
struct vas_stack {
    void *sp;
    int flags, vid;
    size_t size;
};
int vas_sigaltstack(const struct vas_stack *now, struct vas_stack *old);

/* Where a signal frame leads back to: the first two of the reserved words of its mcontext_t. A
 * handler may change them; space 0 stands for whatever VAS has the id. */
struct vas_place {
    unsigned long vid, space;
};

/* ---- A heap inside a segment ----------------------------------------------------------
 * malloc keeps its lists in the program's own memory, so a block that it takes inside a VAS is
 * known to this process alone, and is lost to all others. A vas_heap keeps everything, its lists
 * and its lock too, in the memory that it manages: whoever sees that memory, in whatever process
 * or view, can allocate and free. */

struct vas_heap;

/* Make a heap of `bytes` of memory (4,096 at least), or find the one that was made there: NULL if
 * there is none. */
struct vas_heap *vas_heap_create(void *start, size_t bytes);
struct vas_heap *vas_heap_open(void *start);

/* As malloc and free: aligned to 16; NULL with ENOMEM if there is no room. */
void *vas_heap_alloc(struct vas_heap *heap, size_t bytes);
void vas_heap_free(struct vas_heap *heap, void *block);

/* One pointer that the heap keeps for its users: where their data begins. NULL at first. */
void *vas_heap_root(struct vas_heap *heap);
void vas_heap_set_root(struct vas_heap *heap, void *root);

/* How many bytes are free, in how many pieces. */
size_t vas_heap_room(struct vas_heap *heap, size_t *pieces);

#endif
