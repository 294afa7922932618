/* prices: does one piece of a kernel's work N times (default 1000), as plain C. Shows: how many
 * instructions such a piece takes. Vantage's own kernel does this work in Python. hw/costs.py has
 * these counts as the costs of that work, and a test compares the two.
 *
 *     run.py exec prices space_load 1000
 *
 * Sizes are those of a small system: 16 regions in a space, 6 tags on a core, 3 descriptors in a
 * process, and a task record of 1 KiB. */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGIONS = 16, TAGS = 6, ROOM = 64, BUCKETS = 64, TASK_WORDS = 128, TABLE_WORDS = 512 };

struct link {
    struct link *next, *previous;
};

static void unlink_(struct link *l) {
    l->next->previous = l->previous;
    l->previous->next = l->next;
}

static void append(struct link *list, struct link *l) {
    l->next = list;
    l->previous = list->previous;
    list->previous->next = l;
    list->previous = l;
}

static void nothing(uint64_t i) { (void)i; }

/* ---- A pick from a round-robin queue: the next one out, the last one in ---------------- */

struct task {
    struct link link;
    uint64_t state, slice_left, ready_at, tid;
};

static struct task tasks[3], *running = &tasks[0];
static struct link ready = {&ready, &ready};
static uint64_t queued, now;

static void schedule_pick(uint64_t i) {
    now += i;
    running->state = 1;
    running->ready_at = now;
    append(&ready, &running->link);
    queued++;
    struct task *next = (struct task *)ready.next;
    unlink_(&next->link);
    queued--;
    next->state = 2;
    if (next->slice_left == 0) next->slice_left = 50000;
    running = next;
}

/* ---- A page-table entry, with the counts of the table and of the frame that it leads to - */

static uint64_t table[TABLE_WORDS], present;
static uint32_t holders[TABLE_WORDS];

static void pte_write(uint64_t i) {
    uint64_t slot = i & 511, old = table[slot], entry = (i & 511) << 12 | 7;
    table[slot] = entry;
    present += (entry & 1) - (old & 1);
    holders[entry >> 12]++;
    if (old & 1) holders[old >> 12]--;
}

/* ---- A frame for a table, taken from the free list, entered above, and counted ---------- */

static uint32_t free_frames[ROOM], free_count = ROOM, limit = 1 << 30, charged;
static uint8_t owner[TABLE_WORDS];

static void table_allocate(uint64_t i) {
    if (free_count == 0 || charged >= limit) return;
    uint32_t pfn = free_frames[--free_count];
    charged++;
    holders[pfn] = 1;
    owner[pfn] = 2;
    table[i & 511] = (uint64_t)pfn << 12 | 7;
    present++;
    free_frames[free_count++] = pfn; /* so that there is one the next time */
}

/* ---- Regions: sorted by address in one array --------------------------------------------- */

struct region {
    uint64_t start, end, prot, flags, page, changed;
    void *object, *space;
};

static struct region records[REGIONS + 1], *map[REGIONS + 1];
static uint64_t regions, changes;

static uint64_t place_of(uint64_t va) {
    uint64_t low = 0, high = regions;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (map[middle]->end <= va)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static volatile uint64_t found;

static void region_find(uint64_t i) {
    uint64_t va = (i % REGIONS) << 20 | 0x1000, at = place_of(va);
    found = at < regions && map[at]->start <= va;
}

/* In turn, insert a region in the middle, and remove it again. */
static void region_change(uint64_t i) {
    struct region *made = &records[REGIONS];
    uint64_t start = (REGIONS / 2ull << 20) - 0x10000, at = place_of(start);
    if (i & 1) {
        regions--;
        for (uint64_t j = at; j < regions; j++) map[j] = map[j + 1];
        return;
    }
    for (uint64_t j = regions; j > at; j--) map[j] = map[j - 1];
    map[at] = made;
    regions++;
    *made = (struct region){start, start + 0x1000, 3, i, 0, ++changes, table, tasks};
}

/* ---- A message: 112 bytes to the receiver, which waits. Here and below, `volatile` makes a copy
 * a loop of loads and stores: REP MOVS would count as one instruction. ---------------------- */

struct message {
    volatile uint64_t word[14];
};

static struct message sent, received;
static struct task *receiver = &tasks[2];

static void message(uint64_t i) {
    sent.word[0] = i;
    for (int j = 0; j < 14; j++) received.word[j] = sent.word[j];
    receiver->state = 1;
    receiver->ready_at = now;
    append(&ready, &receiver->link);
    queued++;
    unlink_(&receiver->link); /* so that it waits the next time */
    queued--;
}

/* ---- Finding something by number, with the caller's right to it --------------------------- */

struct named {
    struct named *next;
    uint64_t id;
    uint32_t mode, user, group, readers;
    char name[24];
};

static struct named *by_id[BUCKETS], *by_name[BUCKETS], names[ROOM];
static uint64_t uid = 1000;

static void table_lookup(uint64_t i) {
    uint64_t id = i % ROOM;
    struct named *at = by_id[id % BUCKETS];
    while (at && at->id != id) at = at->next;
    if (!at) return;
    int shift = uid == at->user ? 6 : 0;
    found = (6u & ~(at->mode >> shift)) == 0;
}

/* ---- Finding it by a name of eight letters ------------------------------------------------ */

static void name_lookup(uint64_t i) {
    const char *name = names[i % ROOM].name;
    uint64_t hash = 5381;
    for (const char *c = name; *c; c++) hash = hash * 33 ^ (uint8_t)*c;
    struct named *at = by_name[hash % BUCKETS];
    while (at && strcmp(at->name, name) != 0) at = at->next;
    found = at != 0;
}

/* ---- A kernel object of 128 bytes: from the free list, cleared, numbered, linked ---------- */

struct record {
    struct link link;
    uint64_t id;
    volatile uint64_t word[13];
};

static struct record record;
static struct link free_records = {&record.link, &record.link}, live = {&live, &live};
static uint64_t last_id;

static void record_create(uint64_t i) {
    struct record *made = (struct record *)free_records.next;
    free_records.next = made->link.next;
    for (int j = 0; j < 13; j++) made->word[j] = 0;
    made->id = ++last_id;
    made->word[0] = i;
    append(&live, &made->link);
    unlink_(&made->link); /* free again for the next time */
    free_records.next = &made->link;
}

/* ---- A task: its record of 1 KiB is a copy of its creator's, except for a few fields ------- */

static volatile uint64_t mother[TASK_WORDS], child[TASK_WORDS];

static void task_create(uint64_t i) {
    for (int j = 0; j < TASK_WORDS; j++) child[j] = mother[j];
    child[0] = ++last_id;
    child[1] = i;
    tasks[2].state = 1;
    append(&ready, &tasks[2].link);
    unlink_(&tasks[2].link);
}

/* ---- A descriptor, copied at fork ---------------------------------------------------------- */

struct handle {
    uint64_t endpoint, object, holds;
};

static struct handle open_files[ROOM], *mothers[ROOM], *childs[ROOM];
static uint64_t closes_on_exec, childs_closes;

static void descriptor_copy(uint64_t i) {
    uint64_t fd = i % ROOM;
    struct handle *handle = mothers[fd];
    if (!handle) return;
    handle->holds++;
    childs[fd] = handle;
    childs_closes |= closes_on_exec & 1ull << fd;
}

/* ---- A reader/writer lock that is free, taken and given up by turns, shared and alone by turns - */

static struct {
    struct link waiting, holders;
    uint64_t readers, writers, left_at[2];
} lock = {.waiting = {&lock.waiting, &lock.waiting}, .holders = {&lock.holders, &lock.holders}};

static void lock_change(uint64_t i) {
    uint64_t alone = i >> 1 & 1;
    if (i & 1) {
        unlink_(&tasks[2].link);
        lock.readers -= !alone;
        lock.writers -= alone;
        lock.left_at[alone] = now;
        found = lock.waiting.next != &lock.waiting;
        return;
    }
    if (lock.writers || (alone && lock.readers)) return;
    append(&lock.holders, &tasks[2].link);
    lock.readers += !alone;
    lock.writers += alone;
    if (now < lock.left_at[1]) now = lock.left_at[1];
}

/* ---- One waiter of a queue: is it in the way? ---------------------------------------------- */

static struct task waiters[ROOM];

static void queue_look(uint64_t i) {
    struct task *at = &waiters[i % ROOM];
    found |= at->state & 1 && at != running;
}

/* ---- Choosing the tag of a view on this core: Linux's choose_new_asid ---------------------- */

struct space {
    uint64_t id, root, generation, tagging;
    struct space *layer[2];
};

static struct {
    uint64_t space, generation;
} tags[TAGS];
static struct space spaces[TAGS + 2];
static volatile uint64_t cr3;

static void space_load(uint64_t i) {
    struct space *space = &spaces[i % TAGS];
    uint64_t generation = space->generation, value = space->root;
    for (int j = 0; j < 2; j++)
        if (space->layer[j]) generation += space->layer[j]->generation;
    for (uint64_t tag = 0; tag < TAGS; tag++)
        if (tags[tag].space == space->id) {
            value |= tag + 1;
            if (tags[tag].generation == generation && space->tagging) value |= 1ull << 63;
            tags[tag].generation = generation;
            break;
        }
    cr3 = value;
}

/* --------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*work)(uint64_t);
} pieces[] = {
    {"nothing", nothing},           {"schedule_pick", schedule_pick},
    {"pte_write", pte_write},       {"table_allocate", table_allocate},
    {"region_find", region_find},   {"region_change", region_change},
    {"message", message},           {"table_lookup", table_lookup},
    {"name_lookup", name_lookup},   {"record_create", record_create},
    {"task_create", task_create},   {"descriptor_copy", descriptor_copy},
    {"space_load", space_load},     {"lock_change", lock_change},
    {"queue_look", queue_look},
};

static void set_up(void) {
    append(&ready, &tasks[1].link);
    for (uint32_t i = 0; i < ROOM; i++) {
        free_frames[i] = i;
        mothers[i] = &open_files[i];
        waiters[i].state = i & 1;
        names[i] = (struct named){.id = i, .mode = 0600, .user = 1000};
        memcpy(names[i].name, "compute", 7);
        names[i].name[7] = (char)('0' + i);
        names[i].next = by_id[i % BUCKETS];
        by_id[i % BUCKETS] = &names[i];
    }
    for (int i = 0; i < ROOM; i++) {
        uint64_t hash = 5381;
        for (const char *c = names[i].name; *c; c++) hash = hash * 33 ^ (uint8_t)*c;
        by_name[hash % BUCKETS] = &names[i]; /* one in each bucket: no chains to walk */
    }
    for (uint64_t i = 0; i < REGIONS; i++, regions++) {
        records[i] = (struct region){.start = i << 20, .end = (i << 20) + 0x80000};
        map[i] = &records[i];
    }
    for (uint64_t i = 0; i < TAGS; i++) {
        spaces[i] = (struct space){i + 1, (i + 1) << 12, i, 1, {&spaces[TAGS], &spaces[TAGS + 1]}};
        tags[i].space = i + 1;
        tags[i].generation = i;
    }
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "nothing";
    uint64_t times = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
    set_up();
    for (unsigned p = 0; p < sizeof pieces / sizeof *pieces; p++)
        if (strcmp(pieces[p].name, name) == 0) {
            for (uint64_t i = 0; i < times; i++) pieces[p].work(i);
            printf("%s, %lu times\n", name, times);
            return 0;
        }
    errx(2, "there is no piece %s", name);
}
