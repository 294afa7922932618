/* exam_scenes: common parts of the programs that play one scene for a judge and end:
 * PROGRAM NONCE SCENE [NUMBER...]. Each value in memory is exam_mix of a number that is used only
 * there; answers are errnos. */
#ifndef EXAM_SCENES_H
#define EXAM_SCENES_H

#include <errno.h>
#include <exam.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <vas.h>

enum { PAGE = 4096, WORDS = PAGE / 8, VALUES_OF_A_PLACE = 100 };
enum { AT_HOME = 1, INSIDE, IN_A, IN_B, IN_DATA, LATER };

static long numbers[8];
static int next_slot = 1;

static inline uint64_t *place(int i) { return (uint64_t *)numbers[i]; }

/* The result of a call: its errno, or 0. */
static inline void say(long result) { EXAM_PAGE[next_slot++] = result < 0 ? (uint64_t)errno : 0; }

#define must(call) must_work(call, #call)
static inline void must_work(long result, const char *call) {
    if (result < 0) err(1, "%s", call);
}

static inline void map(uint64_t *at, size_t pages) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
        err(1, "cannot map %p", (void *)at);
}

/* Page i of a range holds value number VALUES_OF_A_PLACE * name + i. */
static inline void fill(uint64_t *at, int first, int pages, int name) {
    for (int i = first; i < first + pages; i++)
        at[i * WORDS] = exam_mix(VALUES_OF_A_PLACE * name + i);
}

/* Find or create a VAS, and attach it. */
static inline int attached(const char *name, int type) {
    int vid = vas_find(name);
    if (vid < 0) must(vid = vas_create(name, 0600));
    must(vas_attach(0, vid, type));
    return vid;
}

static inline void end_of(pid_t child) {
    must(child);
    waitpid(child, NULL, 0);
}

/* ---- Two threads take turns --------------------------------------------------------------- */

static volatile int turn;

static inline void wait_for(int wanted) {
    while (turn != wanted) thrd_yield();
}

static inline void hand_over(int to, int until) {
    turn = to;
    wait_for(until);
}

static inline thrd_t start(thrd_start_t work) {
    thrd_t thread;
    if (thrd_create(&thread, work, NULL) != thrd_success) errx(1, "cannot create a thread");
    return thread;
}

/* ---- Choosing a scene ---------------------------------------------------------------------- */

struct scene {
    const char *name;
    void (*play)(void);
};

/* Play the scene that the second argument names; by default the first one. */
static inline int play(int argc, char **argv, const struct scene *scenes, size_t count) {
    const char *wanted = argc > 2 ? argv[2] : scenes[0].name;
    exam_begin(argc, argv);
    for (int i = 3; i < argc; i++) numbers[i - 3] = strtol(argv[i], NULL, 0);
    for (size_t i = 0; i < count; i++)
        if (strcmp(scenes[i].name, wanted) == 0) scenes[i].play();
    printf("%s is over\n", wanted);
    return 0;
}

#endif
