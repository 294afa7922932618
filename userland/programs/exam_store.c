/* exam_store: tests the store of store/table.c and store/switch.c for a judge.
 * Shows: that pointers stay valid, copies are complete, and no addition is lost.
 *
 *     exam_store NONCE SCENE [NUMBER]     boot with --vas-sharing switch */

#include <exam.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <vas.h>

#include "store/store.h"

enum { MEMORY = STORE_BYTES, ROUNDS = 2000, MOST_CLIENTS = 4 };
enum { READING, WRITING, HOME, NOBODY, ENDED };
enum { READ_VAS = 1, WRITE_VAS }; /* the lowest vids, in the order in which they are made */

static const volatile uint64_t *const segment = (const uint64_t *)0x200000000000;
static void *const memory = (void *)0x500000000000;
static int number;

static const char *key(int i) {
    static char text[KEY_BYTES];
    snprintf(text, sizeof text, "key:%d", i);
    return text;
}

/* Every word depends on the nonce, the key and the version, so that a torn value is noticed. */
static struct value value_of(int i, int version) {
    struct value value;
    for (int word = 0; word < VALUE_WORDS; word++)
        value.word[word] = exam_mix((uint64_t)(version * 1000 + i)) + (uint64_t)word;
    return value;
}

static int is_whole(const struct value *value) {
    for (int word = 1; word < VALUE_WORDS; word++)
        if (value->word[word] != value->word[0] + (uint64_t)word) return 0;
    return 1;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ---- The table by itself ------------------------------------------------------------------ */

static struct table *fresh(void) {
    if (mmap(memory, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) != memory)
        err(1, "no room for a table");
    return table_create(memory, MEMORY);
}

static void say_word(int slot, const struct value *value) {
    exam_say(slot, value ? value->word[0] : 0);
}

static void fill(struct table *table, int keys, int version) {
    for (int i = 0; i < keys; i++) {
        struct value value = value_of(i, version);
        table_set(table, key(i), &value);
    }
}

/* `number` keys, enough for long chains: the values of the first ones, and of a missing one. */
static void scene_find(void) {
    struct table *table = fresh();
    say_word(1, table_get(table, "nobody"));
    fill(table, number, 0);
    for (int i = 0; i < number; i++) say_word(2 + i, table_get(table, key(i)));
    exam_say(2 + number, table_get(table, "nobody") == NULL);
}

/* Store a second version of every third key. It is found, and its neighbours stay. An old pointer
 * to the first version still shows the first version. */
static void scene_replace(void) {
    struct table *table = fresh();
    fill(table, number, 0);
    const struct value *before = table_get(table, key(0));
    for (int i = 0; i < number; i += 3) {
        struct value value = value_of(i, 1);
        table_set(table, key(i), &value);
    }
    for (int i = 0; i < number; i++) say_word(1 + i, table_get(table, key(i)));
    exam_say(1 + number, before != table_get(table, key(0)));
}

/* Set one key very often: the room of old values is used again. Then add keys until it is full. */
static void scene_room(void) {
    struct table *table = fresh();
    int done = 0, keys = 0, whole = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct value value = value_of(0, i);
        done += table_set(table, key(0), &value);
    }
    exam_say(1, (uint64_t)done);
    for (struct value value; keys < 1000; keys++)
        if (value = value_of(keys + 1, 0), !table_set(table, key(keys + 1), &value)) break;
    exam_say(2, keys > 100 && keys < 1000);
    for (int i = 1; i <= keys; i++) {
        const struct value *found = table_get(table, key(i));
        struct value wanted = value_of(i, 0);
        whole += found && memcmp(found, &wanted, sizeof wanted) == 0;
    }
    exam_say(3, whole == keys);
    say_word(4, table_get(table, key(keys + 1)));
}

/* ---- The store as a place ----------------------------------------------------------------- */

static void make(const struct way *way) {
    struct value zero = {0}, first = value_of(1, 0);
    way->make();
    way->set("counter", &zero);
    way->set(key(1), &first);
}

static void run_clients(const struct way *way, int clients, void (*work)(const struct way *, int)) {
    for (int client = 0; client < clients; client++) {
        pid_t pid = fork();
        if (pid < 0) err(1, "fork");
        if (pid > 0) continue;
        way->join();
        work(way, client);
        exit(0);
    }
}

static int all_well(int clients) {
    int well = 0, status;
    for (int i = 0; i < clients; i++)
        if (wait(&status) > 0) well += status == 0;
    return well == clients;
}

/* What a client sees of the segment in each of the two VASes. */
static void client_looks(const struct way *way, int client) {
    (void)way, (void)client;
    exam_say(1, (uint64_t)(vas_switch(READ_VAS) + 1));
    (void)*segment; /* pages are mapped when they are touched */
    exam_stop(READING);
    exam_say(2, (uint64_t)(vas_switch(WRITE_VAS) + 1));
    exam_stop(WRITING);
    exam_say(3, (uint64_t)(vas_switch(0) + 1));
    exam_stop(HOME);
}

static void scene_attach(void) {
    make(&by_switch);
    run_clients(&by_switch, 1, client_looks);
    exam_say(4, (uint64_t)all_well(1));
}

/* The store is made, and no client comes. */
static void scene_lock(void) {
    make(&by_switch);
    exam_say(1, 1);
}

/* What a client has at home after it found a value, and after it found none. */
static void client_gets(const struct way *way, int client) {
    struct value value = {0};
    exam_say(1, way->get(key(1), &value));
    exam_say(2, value.word[0]);
    exam_say(3, (uint64_t)is_whole(&value));
    exam_stop(HOME);
    exam_say(4, way->get("nobody", &value));
    exam_say(5, (uint64_t)client);
    exam_stop(NOBODY);
}

static void scene_get(void) {
    make(&by_switch);
    run_clients(&by_switch, 1, client_gets);
    exam_say(6, (uint64_t)all_well(1));
}

static void client_sets(const struct way *way, int client) {
    struct value value = value_of(1, 5 + client);
    way->set(key(1), &value);
    exam_stop(HOME);
}

static void scene_set(void) {
    struct value value;
    make(&by_switch);
    run_clients(&by_switch, 1, client_sets);
    exam_say(1, (uint64_t)all_well(1));
    by_switch.get(key(1), &value);
    exam_say(2, value.word[0]);
}

static void client_adds(const struct way *way, int client) {
    for (int i = 0; i < number; i++) way->add("counter", (uint64_t)client + 1);
}

/* Four clients add to one counter, on as many cores as there are. */
static void scene_add(void) {
    struct value value;
    make(&by_switch);
    run_clients(&by_switch, MOST_CLIENTS, client_adds);
    exam_say(1, (uint64_t)all_well(MOST_CLIENTS));
    by_switch.get("counter", &value);
    exam_say(2, value.word[0]);
}

static void client_sets_often(const struct way *way, int client) {
    for (int i = 0;; i++) {
        struct value value = value_of(1, i);
        way->set(key(1), &value);
        way->add("counter", (uint64_t)client);
    }
}

/* A client is killed while it writes, again and again. The store stays intact, and the lock is
 * free. */
static void scene_killed(void) {
    int whole = 0;
    make(&by_switch);
    for (int i = 0; i < number; i++) {
        struct value value;
        pid_t pid = fork();
        if (pid < 0) err(1, "fork");
        if (pid == 0) by_switch.join(), client_sets_often(&by_switch, 1);
        for (int turn = 0; turn < 3 + i % 5; turn++) sched_yield();
        kill(pid, SIGKILL);
        if (wait(NULL) != pid) err(1, "wait");
        whole += by_switch.get(key(1), &value) && is_whole(&value);
    }
    exam_say(1, (uint64_t)whole);
}

static uint64_t time_of_gets(const struct way *way) {
    struct value value;
    way->get(key(1), &value);
    uint64_t began = now();
    for (int i = 0; i < number; i++) way->get(key(1), &value);
    return now() - began;
}

/* The time of the same gets in both ways, in nanoseconds of the modelled clock. */
static void scene_faster(void) {
    make(&by_switch);
    uint64_t switches = time_of_gets(&by_switch);
    make(&by_messages);
    uint64_t messages = time_of_gets(&by_messages);
    by_messages.end();
    exam_say(1, switches / (uint64_t)number);
    exam_say(2, messages / (uint64_t)number);
    exam_say(3, switches < messages);
}

static const struct {
    const char *name;
    void (*play)(void);
} scenes[] = {
    {"find", scene_find},     {"replace", scene_replace}, {"room", scene_room},
    {"attach", scene_attach}, {"lock", scene_lock},       {"get", scene_get},
    {"set", scene_set},       {"add", scene_add},         {"killed", scene_killed},
    {"faster", scene_faster},
};

int main(int argc, char **argv) {
    exam_begin(argc, argv);
    const char *wanted = argc > 2 ? argv[2] : "find";
    number = argc > 3 ? atoi(argv[3]) : 10;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(scenes[i].name, wanted) == 0) {
            scenes[i].play();
            exam_stop(ENDED);
            return 0;
        }
    errx(2, "there is no scene %s", wanted);
}
