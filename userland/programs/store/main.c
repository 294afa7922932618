/* store: clients read and write a key-value store. It is a segment into which they switch, or a
 * server to which they send messages. Shows: the same hash table both ways; where the time goes.
 *
 *     store switch       boot with --vas-sharing switch
 *     store messages
 *
 * Four more numbers: the percentage of operations that read (default 95), the number of clients
 * (2), operations of each client (100), and the seed (1). Every fourth of the other operations adds
 * to a counter that all clients share. The rest set a key that belongs to the client. Every client
 * reads all keys. A client makes a null_call before its first operation and after its last one.
 * Both ways print the same. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>

#include "store.h"

enum { MOST = 4, COUNTERS = 4, KEYS = 60 + COUNTERS }; /* the counters are the first keys */
enum what { GET, SET, ADD };

/* One operation; `value` is the value to set, or the value that was read. */
struct step {
    enum what what;
    int key;
    struct value value;
};

static const struct way *const ways[] = {&by_switch, &by_messages};
static int reads = 95, clients = 2, operations = 100;
static uint64_t seed = 1;
static char name[KEYS][KEY_BYTES];
static uint64_t planned[KEYS]; /* the last version of a value, or a counter's sum */

/* ---- The operations ---------------------------------------------------------------------- */

/* xorshift64 (Marsaglia, 2003); the state is never 0. */
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* A value holds its version, and every word of it depends on version and key. */
static struct value value_of(int key, uint64_t version) {
    struct value value = {{version}};
    uint64_t state = (version * KEYS + (uint64_t)key) * 2 + 1;
    for (int i = 1; key >= COUNTERS && i < VALUE_WORDS; i++) value.word[i] = next(&state);
    return value;
}

/* A client's operations, in their order. `made` counts the sets and additions for each key. */
static struct step *steps_of(int client, uint64_t made[KEYS]) {
    struct step *steps = calloc((size_t)operations + 1, sizeof *steps);
    uint64_t state = (seed * MOST + (uint64_t)client) * 2 + 1;
    int own = (KEYS - COUNTERS - client + clients - 1) / clients;
    if (!steps) err(1, "no memory");
    for (int i = 0; i < operations; i++) {
        int dice = (int)(next(&state) >> 33), pick = (int)(next(&state) >> 33);
        if (dice % 100 < reads) {
            steps[i] = (struct step){GET, pick % KEYS, {0}};
        } else if (dice / 100 % 4 == 0) {
            steps[i] = (struct step){ADD, pick % COUNTERS, {0}};
            made[steps[i].key]++;
        } else {
            int key = COUNTERS + client + pick % own * clients;
            steps[i] = (struct step){SET, key, value_of(key, ++made[key])};
        }
    }
    return steps;
}

/* Is this value complete, was it written, and is it no older than the last one read? */
static bool right(int key, const struct value *value, uint64_t *seen) {
    uint64_t version = value->word[0];
    struct value written = value_of(key, version);
    bool good = version >= *seen && version <= planned[key] &&
                memcmp(value, &written, sizeof written) == 0;
    *seen = version;
    return good;
}

/* ---- The clients ------------------------------------------------------------------------- */

/* The measured part: only the operations. Returns how many keys were not found. */
static int work(const struct way *way, struct step *steps) {
    int missed = 0;
    null_call();
    for (struct step *step = steps; step < steps + operations; step++)
        if (step->what == GET)
            missed += !way->get(name[step->key], &step->value);
        else if (step->what == SET)
            way->set(name[step->key], &step->value);
        else
            way->add(name[step->key], 1);
    null_call();
    return missed;
}

/* How many of the values that were read no client wrote. */
static int wrong_reads(const struct step *steps) {
    uint64_t seen[KEYS] = {0};
    int wrong = 0;
    for (const struct step *step = steps; step < steps + operations; step++)
        wrong += step->what == GET && !right(step->key, &step->value, &seen[step->key]);
    return wrong;
}

/* Wait until all clients are here or have died: a pipe ends when the last one closes it. */
static void meet(const int place[2]) {
    close(place[1]);
    if (read(place[0], &(char){0}, 1) != 0) err(1, "the clients cannot meet");
}

static _Noreturn void be_client(const struct way *way, int client, const int start[2],
                                const int finish[2]) {
    uint64_t made[KEYS] = {0};
    struct step *steps = steps_of(client, made);
    way->join();
    meet(start);
    int missed = work(way, steps);
    meet(finish);
    int wrong = wrong_reads(steps);
    if (missed || wrong)
        printf("client %d missed %d keys and read %d wrong values\n", client, missed, wrong);
    exit(missed || wrong);
}

static void start_clients(const struct way *way) {
    int start[2], finish[2];
    if (pipe(start) < 0 || pipe(finish) < 0) err(1, "pipe");
    for (int client = 0; client < clients; client++) {
        pid_t pid = fork();
        if (pid < 0) err(1, "cannot start a client");
        if (pid == 0) be_client(way, client, start, finish);
    }
    for (int i = 0; i < 2; i++) close(start[i]), close(finish[i]);
}

/* How many clients failed, and how many were killed. */
static int await_clients(int *killed) {
    int failed = 0, status;
    for (int client = 0; client < clients; client++) {
        if (wait(&status) < 0) err(1, "wait");
        failed += WIFEXITED(status) && WEXITSTATUS(status);
        *killed += WIFSIGNALED(status);
    }
    return failed;
}

/* ---- The result -------------------------------------------------------------------------- */

/* Compare the whole content with the plan; a killed client may have left a part undone. */
static int check(const struct way *way, bool complete, uint64_t *sum) {
    int wrong = 0;
    for (int key = 0; key < KEYS; key++) {
        struct value value;
        uint64_t seen = complete ? planned[key] : 0;
        if (!way->get(name[key], &value) || !right(key, &value, &seen)) {
            printf("%s is wrong\n", name[key]);
            wrong++;
        }
        for (int i = 0; i < VALUE_WORDS; i++) *sum = *sum * 31 + value.word[i];
    }
    return wrong;
}

static int run(const struct way *way) {
    int killed = 0;
    uint64_t sum = 0;
    for (int client = 0; client < clients; client++) free(steps_of(client, planned));
    way->make();
    for (int key = 0; key < KEYS; key++) {
        struct value value = value_of(key, 0);
        snprintf(name[key], KEY_BYTES, key < COUNTERS ? "counter:%d" : "key:%d", key);
        way->set(name[key], &value);
    }
    start_clients(way);
    int failed = await_clients(&killed);
    if (killed) printf("%d of %d clients killed\n", killed, clients);
    failed += check(way, !killed, &sum);
    way->end();
    printf("%d operations of %d clients, content %#lx\n", operations * clients, clients, sum);
    return failed != 0;
}

int main(int argc, char **argv) {
    vantage_required();
    const char *wanted = argc > 1 ? argv[1] : by_switch.name;
    if (argc > 2) reads = atoi(argv[2]);
    if (argc > 3) clients = atoi(argv[3]);
    if (argc > 4) operations = atoi(argv[4]);
    if (argc > 5) seed = strtoul(argv[5], NULL, 0);
    if (reads < 0 || reads > 100 || clients < 1 || clients > MOST || operations < 0)
        errx(2, "0 to 100 of a hundred read, and there are 1 to %d clients", MOST);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i]->name, wanted) == 0) return run(ways[i]);
    errx(2, "there is no way %s", wanted);
}
