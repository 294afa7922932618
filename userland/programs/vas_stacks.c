/* vas_stacks: tasks with their stacks at one address. Shows: in one address space they share one
 * stack and lose what they stored. Each in its own VAS has its own stack, and so has each of two
 * processes in one VAS. A thread that goes home while it uses a stack of the VAS faults. A VAS
 * cannot have memory where the stack of its process is. The argument is how often each of the two
 * threads goes home and comes back (default 3).
 *
 * A null_call marks the moment when a task has stored its letter on its stack: two threads at home,
 * two inside, two processes. Two more follow the fault and the conflict. */

#include <err.h>
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, STACK_BYTES = 4 * PAGE };
static int trips = 3;
static char *const place = (char *)0x500000000000; /* the stack's lowest page */
static char *const common = (char *)0x600000000000;

static struct task {
    char letter;
    int vid;
    jmp_buf home, inside;
    volatile char *variable;
    char found, through_pointer;
} tasks[2] = {{.letter = 'A'}, {.letter = 'B'}};
static _Thread_local struct task *me;

/* ---- Changing stacks ---------------------------------------------------------------------
 * A task that uses the stack at `place` leaves it by a longjmp to a stack of its process. */

static _Noreturn void stand_on_it(void (*work)(void)) {
    __asm__ volatile("mov %0, %%rsp\n"
                     "call *%1\n"
                     "ud2"
                     :
                     : "r"(place + STACK_BYTES), "r"(work)
                     : "memory");
    __builtin_unreachable();
}

static void map_stack(int flags) {
    if (mmap(place, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
             0) == MAP_FAILED)
        err(1, "cannot map a stack");
}

/* ---- Two threads -------------------------------------------------------------------------
 * They take turns, so every seed and any number of cores gives the same result. */

enum turn { NOBODY, A_STORES, B_STORES, A_LOOKS, A_ENTERS, B_ENTERS, BOTH_TRAVEL };
static volatile int turn;
static volatile int travelled;

static void wait_for(enum turn wanted) {
    while (turn != (int)wanted) thrd_yield();
}

/* Without a call, and so without a store: the other thread is on the same stack. */
__attribute__((always_inline)) static inline void wait_here_for(enum turn wanted) {
    while (turn != (int)wanted)
        __asm__ volatile("syscall" : : "a"(SYS_sched_yield) : "rcx", "r11", "memory");
}

static void share_a_stack(void) {
    volatile char mine = me->letter;
    me->variable = &mine;
    null_call();
    if (me == &tasks[0]) {
        turn = B_STORES;
        wait_here_for(A_LOOKS);
    }
    me->found = mine;
    longjmp(me->home, 1);
}

static void go_home_and_back(void) {
    if (setjmp(me->inside) == 0) longjmp(me->home, 1);
}

static void stand_inside(void) {
    volatile char mine = me->letter;
    me->variable = &mine;
    null_call();
    turn++;
    wait_for(BOTH_TRAVEL);
    me->through_pointer = *tasks[me == &tasks[0]].variable;
    for (int i = 0; i < trips; i++) go_home_and_back();
    me->found = mine;
    longjmp(me->home, 2);
}

static void travel(void) {
    if (vas_switch(me->vid) < 0) err(1, "cannot enter");
    map_stack(MAP_FIXED);
    int left = setjmp(me->home);
    if (!left) stand_on_it(stand_inside);
    if (vas_switch(0) < 0) err(1, "cannot go home");
    if (left == 2) return;
    if (vas_switch(me->vid) < 0) err(1, "cannot come back");
    longjmp(me->inside, 1);
}

static int thread(void *task) {
    me = task;
    int first = me == &tasks[0];
    wait_for(first ? A_STORES : B_STORES);
    if (setjmp(me->home) == 0) stand_on_it(share_a_stack);
    turn = first ? NOBODY : A_LOOKS;
    wait_for(first ? A_ENTERS : B_ENTERS);
    travel();
    __atomic_add_fetch(&travelled, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void tell(const char *where) {
    for (int i = 0; i < 2; i++)
        printf("%s: %c stored at %p, found %c\n", where, tasks[i].letter,
               (void *)tasks[i].variable, tasks[i].found);
}

static void one_address_space(void) {
    map_stack(MAP_FIXED);
    if (mmap(place, STACK_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) != MAP_FAILED)
        errx(1, "there are two mappings at one place");
    printf("a second mapping there: %s\n", strerror(errno));
    turn = A_STORES;
    wait_for(NOBODY);
    tell("one address space");
    if (munmap(place, STACK_BYTES) < 0) err(1, "cannot unmap");
}

static void two_views(void) {
    for (int i = 0; i < 2; i++) {
        const char name[] = {tasks[i].letter, '\0'};
        if ((tasks[i].vid = vas_create(name, 0600)) < 0 || vas_attach(0, tasks[i].vid, O_RDWR) < 0)
            err(1, "cannot attach a VAS");
    }
    turn = A_ENTERS;
    while (travelled < 2) thrd_yield();
    tell("two views");
    printf("a pointer to A's variable, followed by B: %c\n", tasks[1].through_pointer);
    for (int i = 0; i < 2; i++)
        if (vas_detach(0, tasks[i].vid) < 0) err(1, "cannot detach");
}

static void two_threads(void) {
    thrd_t threads[2];
    for (int i = 0; i < 2; i++)
        if (thrd_create(&threads[i], thread, &tasks[i]) != thrd_success) errx(1, "no thread");
    one_address_space();
    two_views();
    for (int i = 0; i < 2; i++) thrd_join(threads[i], NULL);
}

/* ---- Two processes in one VAS ------------------------------------------------------------ */

static void wait_for_a_byte(int end) {
    char byte;
    if (read(end, &byte, 1) < 0) err(1, "cannot read");
}

static void visit(char letter, int vid, int ready, int go) {
    volatile char mine = letter;
    if (vas_attach(0, vid, O_RDONLY) < 0 || vas_switch(vid) < 0) err(1, "cannot enter");
    if (strcmp(common, "hello") != 0) errx(1, "the VAS is empty");
    null_call();
    if (write(ready, "r", 1) < 0) err(1, "cannot write");
    wait_for_a_byte(go);
    printf("two processes: %c stored at %p, found %c; the VAS says %s\n", letter, (void *)&mine,
           mine, common);
    exit(0);
}

static int make_common(void) {
    int vid = vas_create("common", 0600);
    if (vid < 0 || vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) err(1, "no VAS");
    if (mmap(common, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED)
        err(1, "no memory");
    strlcpy(common, "hello", PAGE);
    if (vas_switch(0) < 0 || vas_detach(0, vid) < 0) err(1, "cannot leave");
    return vid;
}

/* Both are inside before the first one looks. */
static void two_processes(void) {
    int ready[2], go[2][2], vid = make_common();
    if (pipe(ready) < 0) err(1, "no pipe");
    for (int i = 0; i < 2; i++) {
        if (pipe(go[i]) < 0) err(1, "no pipe");
        pid_t pid = fork();
        if (pid < 0) err(1, "cannot fork");
        if (pid == 0) visit(tasks[i].letter, vid, ready[1], go[i][0]);
        wait_for_a_byte(ready[0]);
    }
    for (int i = 0, status; i < 2; i++) {
        if (write(go[i][1], "g", 1) < 0) err(1, "cannot write");
        if (wait(&status) < 0 || status) errx(1, "a visit failed");
    }
    if (vas_delete(vid) < 0) err(1, "cannot delete");
}

/* ---- What does not work ------------------------------------------------------------------ */

static void forget(void) { vas_switch(0); }

static void fall(void) {
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        if (vas_attach(0, tasks[0].vid, O_RDWR) < 0 || vas_switch(tasks[0].vid) < 0)
            err(1, "cannot enter");
        stand_on_it(forget);
    }
    int status;
    if (wait(&status) < 0 || !WIFSIGNALED(status)) errx(1, "it did not fall");
    null_call();
}

static void conflict(void) {
    char here;
    char *page = (char *)((uintptr_t)&here & -(uintptr_t)PAGE);
    int vid = vas_create("clash", 0600), sid = vas_seg_create("clash", page, page + PAGE, 0600);
    if (vid < 0 || sid < 0 || vas_seg_attach(vid, sid, O_RDWR) < 0) err(1, "cannot set up");
    if (vas_attach(0, vid, O_RDWR) == 0) errx(1, "the stack was covered");
    printf("a VAS with a segment where the stack is: %s\n", strerror(errno));
    null_call();
    if (vas_delete(vid) < 0 || vas_seg_delete(sid) < 0) err(1, "cannot delete");
}

int main(int argc, char **argv) {
    if (argc > 1) trips = atoi(argv[1]);
    vantage_required();
    two_threads();
    two_processes();
    fall();
    conflict();
    for (int i = 0; i < 2; i++)
        if (vas_delete(tasks[i].vid) < 0) err(1, "cannot delete");
    return 0;
}
