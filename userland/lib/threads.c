/* Threads: clone() starts them, a futex word reports their end.
 *
 * Each thread has one mapping of its own, from low to high addresses:
 *     guard page (no access) | stack, growing down | thread block (thread.h)
 * The kernel writes the tid into the block at the start. At the end it writes 0 there and wakes
 * the threads that wait. Joining needs no more (CLONE_CHILD_CLEARTID). */

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lock.h"
#include "syscall.h"
#include "thread.h"

enum { PAGE = 4096, STACK_BYTES = 64 * 1024 };

#define THREAD_FLAGS \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* clone() with a new stack returns twice, so it cannot be a C function: the child has nothing
 * to return to. It finds its record through fs instead. */
long clone_thread(long flags, void *stack, int *parent_tid, int *child_tid, void *fs);
__asm__(".hidden clone_thread\n"
        ".type clone_thread, @function\n"
        "clone_thread:\n"
        "    mov $56, %eax\n" /* SYS_clone */
        "    mov %rcx, %r10\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jnz 1f\n"
        "    xor %ebp, %ebp\n"
        "    mov %fs:0, %rdi\n"
        "    call thread_main\n"
        "1:  ret\n"
        ".size clone_thread, . - clone_thread\n");

__attribute__((used)) static _Noreturn void thread_main(struct thread *self) {
    thrd_exit(self->start(self->argument));
}

/* ---- Start --------------------------------------------------------------------------- */

static struct thread *map_thread(void) {
    size_t bytes = PAGE + STACK_BYTES + (thread_block_bytes() + PAGE - 1) / PAGE * PAGE;
    char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED) return NULL;
    mprotect(mapping, PAGE, PROT_NONE);
    struct thread *thread = thread_block_init(mapping + bytes);
    thread->mapping = mapping;
    thread->mapping_bytes = bytes;
    return thread;
}

int thrd_create(thrd_t *out, thrd_start_t start, void *argument) {
    struct thread *thread = map_thread();
    if (!thread) return thrd_nomem;
    thread->start = start;
    thread->argument = argument;
    void *stack = (char *)thread->mapping + PAGE + STACK_BYTES;
    if (clone_thread(THREAD_FLAGS, stack, &thread->tid, &thread->tid, thread) < 0) {
        munmap(thread->mapping, thread->mapping_bytes);
        return thrd_error;
    }
    *out = thread;
    return thrd_success;
}

/* ---- End ----------------------------------------------------------------------------- */

static int change_state(struct thread *thread, int from, int to) {
    return __atomic_compare_exchange_n(&thread->state, &from, to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* A detached thread unmaps its own stack. After that it must not touch memory. So it makes the
 * two calls from registers. Before, it blocks all signals and tells the kernel not to write the
 * tid. */
static _Noreturn void exit_and_unmap(struct thread *self) {
    sigset_t all = ~0ull;
    sigprocmask(SIG_BLOCK, &all, NULL);
    CALL_RAW(set_tid_address, NULL);
    __asm__ volatile("syscall\n"
                     "    xor %%edi, %%edi\n"
                     "    mov %[exit], %%eax\n"
                     "    syscall\n"
                     "    ud2"
                     :
                     : "a"(SYS_munmap), "D"(self->mapping),
                       "S"(self->mapping_bytes), [exit] "i"(SYS_exit));
    __builtin_unreachable();
}

_Noreturn void thrd_exit(int result) {
    struct thread *self = thread_self();
    self->result = result;
    if (!self->mapping) fflush(NULL); /* the first thread; the process goes on without it */
    if (!change_state(self, THREAD_JOINABLE, THREAD_FINISHED)) exit_and_unmap(self);
    for (;;) CALL_RAW(exit, 0);
}

int thrd_join(thrd_t thread, int *result) {
    int tid;
    while ((tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE)) != 0)
        futex_wait(&thread->tid, tid, NULL);
    if (result) *result = thread->result;
    if (thread->mapping) munmap(thread->mapping, thread->mapping_bytes);
    return thrd_success;
}

int thrd_detach(thrd_t thread) {
    if (change_state(thread, THREAD_JOINABLE, THREAD_DETACHED)) return thrd_success;
    return thrd_join(thread, NULL);
}

thrd_t thrd_current(void) { return thread_self(); }
int thrd_equal(thrd_t a, thrd_t b) { return a == b; }
void thrd_yield(void) { sched_yield(); }

int thrd_sleep(const struct timespec *duration, struct timespec *left) {
    if (nanosleep(duration, left) == 0) return 0;
    return errno == EINTR ? -1 : -2;
}

/* ---- Mutexes ------------------------------------------------------------------------- */

int mtx_init(mtx_t *mutex, int type) {
    *mutex = (mtx_t){.type = type};
    return thrd_success;
}

/* Only the owner can find itself in `owner`, so this needs no lock. */
static int held_by_me(mtx_t *mutex) {
    return (mutex->type & mtx_recursive) &&
           __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == thread_self();
}

static int now_mine(mtx_t *mutex) {
    __atomic_store_n(&mutex->owner, thread_self(), __ATOMIC_RELAXED);
    mutex->depth++;
    return thrd_success;
}

int mtx_timedlock(mtx_t *mutex, const struct timespec *deadline) {
    if (!held_by_me(mutex) && lock_until(&mutex->state, deadline) != 0) return thrd_timedout;
    return now_mine(mutex);
}

int mtx_lock(mtx_t *mutex) { return mtx_timedlock(mutex, NULL); }

int mtx_trylock(mtx_t *mutex) {
    return held_by_me(mutex) || lock_try(&mutex->state) ? now_mine(mutex) : thrd_busy;
}

int mtx_unlock(mtx_t *mutex) {
    if (--mutex->depth > 0) return thrd_success;
    __atomic_store_n(&mutex->owner, NULL, __ATOMIC_RELAXED);
    lock_give(&mutex->state);
    return thrd_success;
}

void mtx_destroy(mtx_t *mutex) { (void)mutex; }

/* ---- Condition variables ------------------------------------------------------------- */

int cnd_init(cnd_t *condition) {
    condition->signals = 0;
    return thrd_success;
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *deadline) {
    /* BEGIN SOLUTION lab4.condition */
    /* Read the count before the mutex is released: a signal in between changes the count, and then
     * the futex call does not sleep. */
    int seen = __atomic_load_n(&condition->signals, __ATOMIC_ACQUIRE);
    mtx_unlock(mutex);
    int late = futex_wait(&condition->signals, seen, deadline) == ETIMEDOUT;
    mtx_lock(mutex);
    return late ? thrd_timedout : thrd_success;
    /* END SOLUTION lab4.condition */
    /* PROMPT lab4.condition: release the mutex, sleep until a signal, and take the mutex again. */
}

int cnd_wait(cnd_t *condition, mtx_t *mutex) { return cnd_timedwait(condition, mutex, NULL); }

static int wake(cnd_t *condition, int count) {
    /* BEGIN SOLUTION lab4.condition */
    __atomic_fetch_add(&condition->signals, 1, __ATOMIC_RELEASE);
    futex_wake(&condition->signals, count);
    return thrd_success;
    /* END SOLUTION lab4.condition */
    /* PROMPT lab4.condition: wake `count` sleepers, and miss no thread that is about to sleep. */
}

int cnd_signal(cnd_t *condition) { return wake(condition, 1); }
int cnd_broadcast(cnd_t *condition) { return wake(condition, INT32_MAX); }
void cnd_destroy(cnd_t *condition) { (void)condition; }

/* ---- Once ---------------------------------------------------------------------------- */

enum { NOT_YET, DONE, RUNNING };

void call_once(once_flag *flag, void (*function)(void)) {
    int state = NOT_YET;
    if (__atomic_compare_exchange_n(&flag->state, &state, RUNNING, 0, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE)) {
        function();
        __atomic_store_n(&flag->state, DONE, __ATOMIC_RELEASE);
        futex_wake(&flag->state, INT32_MAX);
    }
    while (__atomic_load_n(&flag->state, __ATOMIC_ACQUIRE) == RUNNING)
        futex_wait(&flag->state, RUNNING, NULL);
}
