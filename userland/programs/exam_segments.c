/* exam_segments: the sharing rule, the locks of segments, and one heap in two views; one scene at
 * a time (<exam_scenes.h>).
 * Shows: nothing but its end by itself; a judge reads memory at every stop. */

#include <exam_scenes.h>
#include <signal.h>

enum { PATIENCE = 6, ROOMS = 3, FLAG = 500 };
static const char *names[] = {"room a", "room b", "room c", "room d"};
static int vids[ROOMS];

/* A flag that processes share. */
static void raise_flag(int flag) { EXAM_PAGE[FLAG + flag] = 1; }

static void wait_for_flag(int flag) {
    while (!EXAM_PAGE[FLAG + flag]) sched_yield();
}

/* Long enough for every other thread to get as far as it can. */
static void be_patient(void) {
    for (int i = 0; i < PATIENCE; i++) sched_yield();
}

static void say_at(int slot, long result) {
    next_slot = slot;
    say(result);
}

/* Segment `name` at `at`, shown in a VAS. */
static int segment_in(int vid, const char *name, uint64_t *at, int type, int lockable) {
    int sid = vas_seg_create(name, at, at + WORDS, 0600);
    if (lockable) must(vas_seg_ctl(sid, SEG_CTL_LOCKABLE, 1));
    must(vas_seg_attach(vid, sid, type));
    return sid;
}

/* A new VAS for a lockable segment at number 0. */
static int room(const char *name) {
    int vid = vas_create(name, 0600);
    segment_in(vid, name, place(0), O_RDWR, 1);
    return vid;
}

/* ---- The sharing rule ------------------------------------------------------------------------- */

/* Numbers 0 and 1: how the first and then the second process want to attach one VAS. */
static void pairs(void) {
    int vid = vas_create(names[0], 0600);
    say_at(1, vas_attach(0, vid, (int)numbers[0]));
    pid_t child = fork();
    if (child == 0) {
        say_at(2, vas_attach(0, vid, (int)numbers[1]));
        exam_stop(0);
        _exit(0);
    }
    end_of(child);
}

/* Numbers 0 and 1: the same for a segment. First it goes into a VAS. Then number 2 says where:
 * into another VAS, home, or into one attachment of another VAS. */
static void segments(void) {
    int vid = vas_create(names[0], 0600), other = vas_create(names[1], 0600);
    uint64_t *at = (uint64_t *)0x480000000000;
    int sid = vas_seg_create(names[0], at, at + WORDS, 0600), type = (int)numbers[1];
    say_at(1, vas_seg_attach(vid, sid, (int)numbers[0]));
    if (numbers[2] == 2) must(vas_attach(0, other, O_RDWR));
    say_at(2, numbers[2] == 0   ? vas_seg_attach(other, sid, type)
              : numbers[2] == 1 ? vas_seg_attach(0, sid, type)
                                : vas_local_attach(other, sid, type));
    exam_stop(0);
}

static void tries(int slot, int vid, int type) {
    pid_t child = fork();
    if (child == 0) {
        say_at(slot, vas_attach(0, vid, type));
        _exit(0);
    }
    end_of(child);
}

static void freed(void) {
    int vid = attached(names[0], O_RDWR);
    tries(1, vid, O_RDWR);
    must(vas_detach(0, vid));
    tries(2, vid, O_RDWR);
    tries(3, vid, O_RDWR);
    must(vas_attach(0, vid, O_RDONLY));
    tries(4, vid, O_RDWR);
    tries(5, vid, O_RDONLY);
    tries(6, vid, O_RDONLY);
    must(vas_detach(0, vid));
    tries(7, vid, O_RDWR);
    exam_stop(0);
}

/* ---- Locks ------------------------------------------------------------------------------------ */

/* Not one store, but a load, a pause and a store. */
static void count_up(volatile uint64_t *counter) {
    uint64_t was = *counter;
    sched_yield();
    *counter = was + 1;
}

static int counts(void *unused) {
    (void)unused;
    wait_for(1);
    for (long round = 0; round < numbers[1]; round++) {
        must(vas_switch(vids[0]));
        count_up(place(0));
        must(vas_switch(0));
    }
    return 0;
}

/* Number 0: a segment in which two threads count; number 1: how often each does. */
static void alone(void) {
    vids[0] = room(names[0]);
    must(vas_attach(0, vids[0], O_RDWR));
    thrd_t thread = start(counts);
    must(vas_switch(vids[0]));
    turn = 1;
    be_patient();
    exam_stop(0);
    must(vas_switch(0));
    counts(NULL);
    thrd_join(thread, NULL);
    exam_stop(1);
}

/* A process that attaches, is counted, switches in, makes a stop if asked to, and ends inside. */
static pid_t visitor(int vid, int type, int flag, int stop) {
    pid_t child = fork();
    must(child);
    if (child) return child;
    must(vas_attach(0, vid, type));
    raise_flag(flag);
    must(vas_switch(vid));
    if (stop) exam_stop(stop);
    must(vas_switch(0));
    _exit(0);
}

/* Number 0: a segment; 1 and 2: the access types of the first process, and of the second one. */
static void together(void) {
    int vid = room(names[0]);
    must(vas_attach(0, vid, (int)numbers[1]));
    must(vas_switch(vid));
    pid_t child = fork();
    if (child == 0) {
        must(vas_attach(0, vid, (int)numbers[2]));
        raise_flag(0);
        must(vas_switch(vid));
        raise_flag(1);
        wait_for_flag(2);
        exam_stop(1);
        must(vas_switch(0));
        _exit(0);
    }
    wait_for_flag(0);
    be_patient();
    exam_stop(0);
    must(vas_switch(0));
    raise_flag(2);
    end_of(child);
}

/* Number 0: a segment; 1 to 3: the access types of the first process, and of two later ones. */
static void turns(void) {
    int vid = room(names[0]);
    must(vas_attach(0, vid, (int)numbers[1]));
    must(vas_switch(vid));
    pid_t second = visitor(vid, (int)numbers[2], 0, 0);
    wait_for_flag(0);
    be_patient();
    pid_t third = visitor(vid, (int)numbers[3], 1, 0);
    wait_for_flag(1);
    be_patient();
    exam_stop(0);
    must(vas_switch(0));
    end_of(second), end_of(third);
}

/* Number 0: where four segments begin; 1: the order in which the VAS gets them, four bits each; 2:
 * which are lockable, 3: which are read-only, one bit each; 4: the access type of the VAS.
 * Segment 3 belongs to this attachment alone. */
static void order(void) {
    int vid = vas_create(names[0], 0600), sids[4];
    for (int i = 0; i < 4; i++) {
        uint64_t *at = place(0) + i * WORDS;
        must(sids[i] = vas_seg_create(names[i], at, at + WORDS, 0600));
        if (numbers[2] >> i & 1) must(vas_seg_ctl(sids[i], SEG_CTL_LOCKABLE, 1));
    }
    for (int i = 0; i < 4; i++) {
        int which = (int)(numbers[1] >> 4 * i & 3);
        int type = numbers[3] >> which & 1 ? O_RDONLY : O_RDWR;
        if (which != 3) must(vas_seg_attach(vid, sids[which], type));
    }
    must(vas_attach(0, vid, (int)numbers[4]));
    must(vas_local_attach(vid, sids[3], numbers[3] >> 3 & 1 ? O_RDONLY : O_RDWR));
    must(vas_switch(vid));
    exam_stop(0);
    must(vas_switch(0));
}

/* Every thread is in its own room before the first one leaves for the next. */
static volatile int present;

static void walk_round(int first) {
    must(vas_switch(vids[first]));
    for (present++; present < ROOMS;) thrd_yield();
    for (long step = 1; step <= numbers[1]; step++) {
        must(vas_switch(vids[(first + step) % ROOMS]));
        count_up(place(0));
    }
    must(vas_switch(0));
}

static int walks(void *first) {
    walk_round((int)(long)first);
    return 0;
}

/* Number 0: where each room has its segment; 1: the number of steps of each of three threads. */
static void circle(void) {
    thrd_t threads[ROOMS];
    for (int i = 0; i < ROOMS; i++) {
        vids[i] = room(names[i]);
        must(vas_attach(0, vids[i], O_RDWR));
    }
    for (long i = 1; i < ROOMS; i++)
        if (thrd_create(&threads[i], walks, (void *)i) != thrd_success) errx(1, "no thread");
    walk_round(0);
    for (int i = 1; i < ROOMS; i++) thrd_join(threads[i], NULL);
    exam_stop(0);
}

static int ends_inside(void *unused) {
    (void)unused;
    must(vas_switch(vids[0]));
    raise_flag(0);
    be_patient();
    return 0;
}

enum { EXITS = 1, IS_KILLED, IS_KILLED_WAITING, THREAD_ENDS };

static pid_t ends_there(int how) {
    pid_t child = fork();
    must(child);
    if (child) return child;
    must(vas_attach(0, vids[0], O_RDWR));
    raise_flag(how == IS_KILLED_WAITING ? 0 : 1);
    must(vas_switch(vids[0]));
    raise_flag(0);
    be_patient();
    while (how == IS_KILLED) sched_yield();
    _exit(0);
}

/* Number 0: a segment; 1: how a process ends that holds its lock, or waits for it. */
static void ends(void) {
    int how = (int)numbers[1];
    vids[0] = room(names[0]);
    must(vas_attach(0, vids[0], O_RDWR));
    if (how == IS_KILLED_WAITING) must(vas_switch(vids[0]));
    pid_t child = 0;
    thrd_t thread = NULL;
    if (how == THREAD_ENDS)
        thread = start(ends_inside);
    else
        child = ends_there(how);
    wait_for_flag(0);
    if (how == IS_KILLED_WAITING) be_patient();
    if (how == IS_KILLED || how == IS_KILLED_WAITING) must(kill(child, SIGKILL));
    if (how == IS_KILLED_WAITING) {
        be_patient();
        must(vas_switch(0));
    }
    must(vas_switch(vids[0]));
    exam_stop(0);
    must(vas_switch(0));
    child ? end_of(child) : (void)thrd_join(thread, NULL);
}

/* ---- Two views of one process, by copies ------------------------------------------------------ */

static uint64_t *grow(int name) {
    uint64_t *page = sbrk(PAGE);
    *page = exam_mix(name);
    return page;
}

static int grows_inside(void *unused) {
    (void)unused;
    must(vas_switch(vids[0]));
    if (numbers[0] & 1) EXAM_PAGE[1] = (uint64_t)grow(INSIDE);
    hand_over(1, 2);
    for (int slot = 3; slot < 6; slot++) say_at(slot, vas_switch(0));
    hand_over(3, 4);
    return 0;
}

/* The thread inside cannot come back; the process ends without it.
 * Number 0: bit 0, the thread inside moves the break; bit 1, the one at home does. */
static void heaps(void) {
    sbrk(-(uint64_t)sbrk(0) & (PAGE - 1));
    grow(AT_HOME);
    vids[0] = attached(names[0], O_RDWR);
    start(grows_inside);
    wait_for(1);
    if (numbers[0] & 2) EXAM_PAGE[2] = (uint64_t)grow(AT_HOME);
    hand_over(2, 3);
    exam_stop(0);
}

static void protect_twice(uint64_t *at, size_t bytes) {
    must(mprotect(at, bytes, PROT_READ));
    must(mprotect(at, bytes, PROT_READ | PROT_WRITE));
}

/* The stack has `levels` more pages for a while. */
__attribute__((noinline)) static uint64_t deep(uint64_t levels) {
    volatile uint64_t page[WORDS];
    page[levels] = levels;
    return levels ? deep(levels - 1) + page[levels] : 0;
}

/* Number 0: two pages at home, and one more sixteen pages further on. The view has copies of them.
 * Number 1: how many switches in and out come while nothing changes. Then the first region
 * changes, then the second one, then the stack grows. */
static void stamps(void) {
    uint64_t *other = place(0) + 16 * WORDS;
    map(place(0), 2), map(other, 1);
    fill(place(0), 0, 1, AT_HOME), fill(other, 0, 1, LATER);
    int vid = attached(names[0], O_RDWR);
    must(vas_switch(vid));
    EXAM_PAGE[1] = *place(0) + *other;
    must(vas_switch(0));
    exam_stop(0);
    for (long i = 0; i < numbers[1]; i++) {
        must(vas_switch(vid));
        must(vas_switch(0));
    }
    exam_stop(1);
    fill(place(0), 1, 1, AT_HOME);
    protect_twice(place(0), 2 * PAGE);
    exam_stop(2);
    must(vas_switch(vid));
    exam_stop(3);
    must(vas_switch(0));
    protect_twice(other, PAGE);
    exam_stop(4);
    must(vas_switch(vid));
    exam_stop(5);
    must(vas_switch(0));
    deep(60);
    say_at(2, vas_switch(vid));
    exam_stop(6);
    must(vas_switch(0));
}

static int changes_inside(void *unused) {
    (void)unused;
    must(vas_switch(vids[0]));
    protect_twice(place(0), PAGE);
    hand_over(1, 2);
    say_at(1, vas_switch(0));
    hand_over(3, 4);
    return 0;
}

/* Number 0: a page at home that changes inside, and then again at home. */
static void older(void) {
    map(place(0), 1);
    vids[0] = attached(names[0], O_RDWR);
    start(changes_inside);
    wait_for(1);
    protect_twice(place(0), PAGE);
    hand_over(2, 3);
    exam_stop(0);
}

/* ---- Two views of one process, by forwarding -------------------------------------------------- */

static volatile uint64_t seen;

static int looks(void *unused) {
    (void)unused;
    must(vas_switch(vids[0]));
    seen = *place(0) + place(0)[WORDS];
    hand_over(1, 2);
    seen = *(volatile uint64_t *)EXAM_PAGE[1];
    hand_over(3, 4);
    must(vas_switch(0));
    return 0;
}

static uint64_t pushed(void) { return (uint64_t)vas_ctl(vids[0], VAS_CTL_PUSHED, 0); }

/* Number 0: three pages at home; a thread inside has read the first two. The heap grows. The third
 * page is touched. A fork makes the first one copy-on-write, a store copies it, and it loses a
 * right. The second one is unmapped. */
static void forwarded(void) {
    sbrk(-(uint64_t)sbrk(0) & (PAGE - 1));
    grow(AT_HOME);
    map(place(0), 3);
    fill(place(0), 0, 2, AT_HOME);
    vids[0] = attached(names[0], O_RDWR);
    thrd_t thread = start(looks);
    wait_for(1);
    EXAM_PAGE[1] = (uint64_t)grow(LATER);
    exam_stop(0);
    fill(place(0), 2, 1, AT_HOME);
    exam_stop(1);
    uint64_t before = pushed();
    pid_t child = fork();
    if (child == 0) {
        wait_for_flag(0);
        _exit(0);
    }
    must(child);
    EXAM_PAGE[2] = pushed() > before;
    fill(place(0), 0, 1, LATER);
    exam_stop(2);
    raise_flag(0);
    end_of(child);
    must(mprotect(place(0), PAGE, PROT_READ));
    exam_stop(3);
    must(munmap(place(0) + WORDS, PAGE));
    exam_stop(4);
    hand_over(2, 3);
    exam_stop(5);
    turn = 4;
    thrd_join(thread, NULL);
}

/* Number 0: a page of the VAS that a reader has read. Then a writer removes its right to write,
 * and restores it. */
static void reader(void) {
    int vid = vas_create(names[0], 0600);
    pid_t writer = fork();
    if (writer == 0) {
        must(vas_attach(0, vid, O_RDWR));
        must(vas_switch(vid));
        map(place(0), 1);
        fill(place(0), 0, 1, INSIDE);
        raise_flag(0);
        wait_for_flag(1);
        protect_twice(place(0), PAGE);
        raise_flag(2);
        wait_for_flag(3);
        _exit(0);
    }
    wait_for_flag(0);
    must(vas_attach(0, vid, O_RDONLY));
    must(vas_switch(vid));
    seen = *place(0);
    exam_stop(0);
    raise_flag(1);
    wait_for_flag(2);
    exam_stop(1);
    EXAM_PAGE[1] = *place(0);
    exam_stop(2);
    raise_flag(3);
    must(vas_switch(0));
    end_of(writer);
}

static const struct scene scenes[] = {
    {"pairs", pairs}, {"segments", segments}, {"freed", freed}, {"alone", alone},
    {"together", together}, {"turns", turns}, {"order", order}, {"circle", circle},
    {"ends", ends}, {"heaps", heaps}, {"stamps", stamps}, {"older", older},
    {"forwarded", forwarded}, {"reader", reader},
};

int main(int argc, char **argv) {
    return play(argc, argv, scenes, sizeof(scenes) / sizeof(*scenes));
}
