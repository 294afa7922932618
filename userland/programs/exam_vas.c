/* exam_vas: what a VAS must do, one scene at a time (<exam_scenes.h>).
 * Shows: nothing but its end by itself; a judge reads memory at every stop. */

#include <exam_scenes.h>

uint64_t globals[WORDS] __attribute__((aligned(PAGE)));
static const char *names[] = {"exam a", "exam b"};

/* ---- Scenes ------------------------------------------------------------------------------- */

/* Number 0: the type of access. */
static void attach_twice(void) {
    int vid = vas_create(names[0], 0600);
    say(vas_attach(0, vid, (int)numbers[0]));
    exam_stop(0);
    say(vas_attach(0, vid, (int)numbers[0]));
    exam_stop(1);
}

/* Number 0: where the process has memory, and a segment should go. */
static void refused(void) {
    int vid = vas_create(names[0], 0400), other = vas_create(names[1], 0600);
    map(place(0), 1);
    int sid = vas_seg_create(names[0], place(0), place(0) + WORDS, 0600);
    must(vas_seg_attach(other, sid, O_RDWR));
    say(vas_attach(0, 4711, O_RDWR));
    say(vas_attach(4711, vid, O_RDONLY));
    say(vas_attach(0, vid, O_RDWR));
    say(vas_attach(0, vid, O_RDONLY));
    say(vas_attach(0, other, O_RDWR));
    say(vas_delete(other));
    exam_stop(0);
}

/* Two processes want one VAS, which only one may write. */
static void one_writer(void) {
    int vid = attached(names[0], O_RDWR);
    pid_t other = fork();
    if (other == 0) {
        EXAM_PAGE[1] = vas_attach(0, vid, O_RDWR) < 0 ? (uint64_t)errno : 0;
        EXAM_PAGE[2] = vas_attach(0, vid, O_RDONLY) < 0 ? (uint64_t)errno : 0;
        _exit(0);
    }
    end_of(other);
    EXAM_PAGE[3] = vas_detach(0, vid) < 0 ? (uint64_t)errno : 0;
    EXAM_PAGE[4] = vas_delete(vid) < 0 ? (uint64_t)errno : 0;
    exam_stop(0);
}

/* Numbers: where to map inside, how many pages. */
static void inside(void) {
    int vid = attached(names[0], O_RDWR), pages = (int)numbers[1];
    must(vas_switch(vid));
    exam_stop(0);
    EXAM_PAGE[2] = (uint64_t)active_vas();
    map(place(0), (size_t)pages);
    fill(place(0), 0, pages, INSIDE);
    exam_stop(1);
    must(vas_switch(0));
    exam_stop(2);
    EXAM_PAGE[3] = (uint64_t)active_vas();
    must(vas_switch(vid));
    must(vas_switch(vid));
    must(vas_switch(vid));
    exam_stop(3);
    must(vas_switch(0));
    say(-(vas_switch(0) != 0));
}

static void not_attached(void) {
    int vid = vas_create(names[0], 0600);
    say(vas_switch(vid));
    say(vas_switch(4711));
    say(vas_switch(-1));
    must(vas_attach(0, vid, O_RDONLY));
    say(vas_switch(vid));
    say(vas_switch(4711));
    exam_stop(0);
    must(vas_switch(0));
}

static int in_b(void *unused) {
    (void)unused;
    wait_for(1);
    must(vas_switch(attached(names[1], O_RDWR)));
    map(place(0), 1);
    fill(place(0), 0, 1, IN_B);
    hand_over(2, 3);
    must(vas_switch(0));
    turn = 4;
    return 0;
}

/* Number 0: a place that both VASes have; number 1: one that only the first has. */
static void two(void) {
    thrd_t thread = start(in_b);
    must(vas_switch(attached(names[0], O_RDWR)));
    map(place(0), 1), map(place(1), 1);
    fill(place(0), 0, 1, IN_A), fill(place(1), 0, 1, INSIDE);
    hand_over(1, 2);
    exam_stop(0);
    must(vas_switch(0));
    exam_stop(1);
    hand_over(3, 4);
    thrd_join(thread, NULL);
}

static int looks_in(void *unused) {
    (void)unused;
    must(vas_switch(attached(names[0], O_RDONLY)));
    EXAM_PAGE[510] += *place(0) == exam_mix(VALUES_OF_A_PLACE * INSIDE);
    return 0;
}

/* Number 0: where the first process maps inside. It ends there, without a switch back. */
static void lasts(void) {
    pid_t first = fork();
    if (first == 0) {
        must(vas_switch(attached(names[0], O_RDWR)));
        map(place(0), 1);
        fill(place(0), 0, 1, INSIDE);
        _exit(0);
    }
    end_of(first);
    exam_stop(0);
    looks_in(NULL);
    pid_t second = fork();
    if (second == 0) {
        looks_in(NULL);
        exam_stop(1);
        _exit(0);
    }
    end_of(second);
    must(vas_switch(0));
}

static int grows_inside(void *unused) {
    (void)unused;
    must(vas_switch(attached(names[0], O_RDWR)));
    hand_over(1, 2);
    EXAM_PAGE[1] = *place(0), EXAM_PAGE[2] = *(uint64_t *)EXAM_PAGE[508];
    map(place(1), 2);
    fill(place(1), 0, 2, INSIDE);
    uint64_t *heap = sbrk(PAGE);
    *heap = exam_mix(LATER);
    EXAM_PAGE[509] = (uint64_t)heap;
    hand_over(3, 4);
    must(vas_switch(0));
    turn = 5;
    return 0;
}

/* One thread is inside when the other maps number 0 at home and moves the break; then it maps
 * number 1 in the VAS and moves the break again; then the first unmaps its place. */
static void grows(void) {
    thrd_t thread = start(grows_inside);
    wait_for(1);
    map(place(0), 2);
    fill(place(0), 0, 2, AT_HOME);
    sbrk(-(uint64_t)sbrk(0) & (PAGE - 1));
    uint64_t *heap = sbrk(PAGE);
    *heap = exam_mix(AT_HOME);
    EXAM_PAGE[508] = (uint64_t)heap;
    exam_stop(0);
    hand_over(2, 3);
    exam_stop(1);
    munmap(place(0), PAGE);
    exam_stop(2);
    hand_over(4, 5);
    thrd_join(thread, NULL);
}

/* Number 0: where the process has memory, number 1: where the VAS has; number 2: how many pages
 * each has; 3 and 4: whether each of them comes before the attach. */
static void near(void) {
    int vid = vas_create(names[0], 0600), pages = (int)numbers[2];
    if (numbers[3]) map(place(0), (size_t)pages), fill(place(0), 0, 1, AT_HOME);
    if (numbers[4]) {
        int sid = vas_seg_create(names[0], place(1), place(1) + pages * WORDS, 0600);
        must(vas_seg_attach(vid, sid, O_RDWR));
    }
    must(vas_attach(0, vid, O_RDWR));
    if (!numbers[3]) map(place(0), (size_t)pages), fill(place(0), 0, 1, AT_HOME);
    must(vas_switch(vid));
    if (!numbers[4]) map(place(1), (size_t)pages);
    fill(place(1), 0, pages, INSIDE);
    fill(place(0), 1, pages - 1, AT_HOME);
    exam_stop(0);
    must(vas_switch(0));
    must(munmap(place(0), (size_t)pages * PAGE));
    exam_stop(1);
}

/* Number 0: where a writer leaves a page that a reader then reads. */
static void reads(void) {
    pid_t writer = fork();
    if (writer == 0) {
        must(vas_switch(attached(names[0], O_RDWR)));
        map(place(0), 1);
        fill(place(0), 0, 1, INSIDE);
        _exit(0);
    }
    end_of(writer);
    must(vas_switch(attached(names[0], O_RDONLY)));
    globals[1] = *place(0);
    say(0);
    say(-(mmap(place(0) + WORDS, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          MAP_FAILED));
    exam_stop(0);
    must(vas_switch(0));
}

static int stays_inside(void *unused) {
    (void)unused;
    must(vas_switch(vas_find(names[0])));
    map(place(0), 1);
    fill(place(0), 0, 1, INSIDE);
    hand_over(1, 2);
    must(vas_switch(0));
    turn = 3;
    return 0;
}

/* Number 0: what another thread maps inside while this one tries to detach. */
static void busy(void) {
    int vid = attached(names[0], O_RDWR);
    thrd_t thread = start(stays_inside);
    wait_for(1);
    say(vas_detach(0, vid));
    say(vas_delete(vid));
    exam_stop(0);
    hand_over(2, 3);
    thrd_join(thread, NULL);
    must(vas_switch(vid));
    say(vas_detach(0, vid));
    exam_stop(1);
    must(vas_switch(0));
}

static int holds_the_lock(void *unused) {
    (void)unused;
    must(vas_switch(vas_find(names[1])));
    hand_over(1, 2);
    must(vas_switch(0));
    return 0;
}

static int wants_the_lock(void *unused) {
    (void)unused;
    turn = 3;
    must(vas_switch(vas_find(names[0])));
    must(vas_switch(0));
    return 0;
}

/* One lockable segment in two VASes: who is in the second keeps others out of the first. */
static void on_the_way(void) {
    int first = vas_create(names[0], 0600), second = vas_create(names[1], 0600);
    int sid = vas_seg_create(names[0], place(0), place(0) + WORDS, 0600);
    must(vas_seg_ctl(sid, SEG_CTL_LOCKABLE, 1));
    must(vas_seg_attach(first, sid, O_RDWR));
    must(vas_seg_attach(second, sid, O_RDWR));
    must(vas_attach(0, first, O_RDWR));
    must(vas_attach(0, second, O_RDWR));
    thrd_t holder = start(holds_the_lock);
    wait_for(1);
    thrd_t other = start(wants_the_lock);
    wait_for(3);
    for (int i = 0; i < 20; i++) thrd_yield(); /* until the other one is in the queue */
    say(vas_detach(0, first));
    exam_stop(0);
    turn = 2;
    thrd_join(holder, NULL);
    thrd_join(other, NULL);
    say(vas_detach(0, first));
    exam_stop(1);
}

/* Number 0: what is mapped inside before the VAS is detached. */
static void leaves(void) {
    int vid = attached(names[0], O_RDWR), other = vas_create(names[1], 0600);
    must(vas_switch(vid));
    map(place(0), 1);
    fill(place(0), 0, 1, INSIDE);
    must(vas_switch(0));
    exam_stop(0);
    say(vas_detach(0, vid));
    exam_stop(1);
    say(vas_detach(0, vid));
    say(vas_detach(0, 4711));
    say(vas_detach(4711, other));
    say(vas_switch(vid));
    must(vas_attach(0, other, O_RDWR));
    must(vas_switch(other));
    map(place(0), 1);
    must(vas_switch(0));
    must(vas_entry(other, (void (*)(void))place(0)));
    say(vas_detach(0, other));
    exam_stop(2);
    say(vas_delete(vid));
    exam_stop(3);
}

/* Numbers: a place inside, how many pages, how many rounds. */
static void prices(void) {
    int vid = attached(names[0], O_RDWR), pages = (int)numbers[1];
    must(vas_switch(vid));
    map(place(0), (size_t)pages);
    fill(place(0), 0, pages, INSIDE);
    must(vas_switch(0));
    exam_stop(0);
    for (long round = 0; round < numbers[2]; round++) {
        must(vas_switch(vid));
        *place(0) += exam_mix(round);
        must(vas_switch(0));
    }
    exam_stop(1);
}

/* For the policy rfc: the heap grows at home, and the copy that is in the view cannot follow. */
static void out_of_step(void) {
    sbrk(PAGE);
    int vid = attached(names[0], O_RDWR);
    *(uint64_t *)sbrk(PAGE) = exam_mix(LATER);
    say(vas_switch(vid));
    exam_stop(0);
}

/* For the policy switch. Number 0: where a lockable segment is. */
static void locked(void) {
    int vid = vas_create(names[0], 0600);
    int sid = vas_seg_create(names[0], place(0), place(0) + WORDS, 0600);
    must(vas_seg_ctl(sid, SEG_CTL_LOCKABLE, 1));
    must(vas_seg_attach(vid, sid, O_RDWR));
    must(vas_attach(0, vid, O_RDWR));
    must(vas_switch(vid));
    fill(place(0), 0, 1, INSIDE);
    exam_stop(0);
    must(vas_switch(0));
    exam_stop(1);
}

static const struct scene scenes[] = {
    {"inside", inside}, {"attach", attach_twice}, {"refused", refused},
    {"not_attached", not_attached}, {"two", two}, {"lasts", lasts}, {"grows", grows},
    {"near", near}, {"reads", reads}, {"busy", busy}, {"leaves", leaves}, {"prices", prices},
    {"out_of_step", out_of_step}, {"locked", locked}, {"on_the_way", on_the_way},
    {"one_writer", one_writer},
};

int main(int argc, char **argv) {
    globals[0] = IN_DATA;
    numbers[0] = 0x480000000000, numbers[1] = 2;
    return play(argc, argv, scenes, sizeof(scenes) / sizeof(*scenes));
}
