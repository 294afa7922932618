/* gups: random updates of a table that is visible through one window (after SpaceJMP's GUPS).
 * Shows: three ways to reach more memory than the window holds.
 *
 *     gups map      unmap the window and map the next part of a file there
 *     gups mp       a process per part, which gets a message per batch
 *     gups jmp      a VAS per part, and vas_switch
 *
 * Three more numbers: how many parts (default 4), how many batches of 16 updates (100), and the
 * seed (1). All three ways print the same checksum. */

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PART_BYTES = 8 * 4096, WORDS = PART_BYTES / 8, BATCH = 16, MOST = 16 };
enum label { UPDATE = 1, SUM, STOP };

static uint64_t *const window = (uint64_t *)0x100000000000;
static long parts = 4, batches = 100;
static int file, vids[MOST], sids[MOST], servers[MOST];

/* xorshift64 (Marsaglia, 2003); the state is never 0. */
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Do the work on the part that the window shows; the answer to SUM is its checksum. */
static uint64_t work(int label, uint64_t seed) {
    uint64_t sum = 0;
    for (int i = 0; label == UPDATE && i < BATCH; i++) {
        uint64_t value = next(&seed);
        window[value % WORDS] ^= value;
    }
    for (int i = 0; label == SUM && i < WORDS; i++) sum = sum * 31 + window[i];
    return sum;
}

static void map_file(long part, int fd) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    if (mmap(window, PART_BYTES, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, fd,
             part * PART_BYTES) == MAP_FAILED)
        err(1, "cannot map part %ld", part);
}

static void map_begin(void) {
    file = open("/tmp/gups", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, parts * PART_BYTES) < 0) err(1, "cannot make the file");
}

static uint64_t map_visit(long part, int label, uint64_t seed) {
    map_file(part, file);
    uint64_t sum = work(label, seed);
    if (munmap(window, PART_BYTES) < 0) err(1, "munmap");
    return sum;
}

static void map_end(void) {
    close(file);
    unlink("/tmp/gups");
}

static _Noreturn void serve(int ep) {
    struct ipc_msg msg = {.cap = -1};
    map_file(0, -1);
    long token = ipc_recv(ep, &msg);
    while (token > 0 && msg.label != STOP) {
        msg.word[0] = work((int)msg.label, msg.word[0]);
        token = ipc_reply_recv(token, ep, &msg);
    }
    if (token > 0) ipc_reply(token, &msg);
    exit(token > 0 ? 0 : 1);
}

static void mp_begin(void) {
    for (long i = 0; i < parts; i++) {
        if ((servers[i] = ipc_endpoint()) < 0) err(1, "ipc_endpoint");
        pid_t pid = fork();
        if (pid < 0) err(1, "fork");
        if (pid == 0) serve(servers[i]);
    }
}

static uint64_t mp_visit(long part, int label, uint64_t seed) {
    struct ipc_msg msg = {.label = (uint64_t)label, .word = {seed}, .cap = -1};
    if (ipc_call(servers[part], &msg) < 0) err(1, "ipc_call");
    return msg.word[0];
}

static void mp_end(void) {
    int status;
    for (long i = 0; i < parts; i++) {
        mp_visit(i, STOP, 0);
        if (wait(&status) < 0 || status) errx(1, "a process failed");
    }
}

static void jmp_begin(void) {
    char name[24];
    for (long i = 0; i < parts; i++) {
        snprintf(name, sizeof name, "gups%ld", i);
        vids[i] = vas_create(name, 0600);
        sids[i] = vas_seg_create(name, window, window + WORDS, 0600);
        if (vids[i] < 0 || sids[i] < 0 || vas_seg_attach(vids[i], sids[i], O_RDWR) < 0 ||
            vas_attach(0, vids[i], O_RDWR) < 0)
            err(1, "cannot set up part %ld", i);
    }
}

static uint64_t jmp_visit(long part, int label, uint64_t seed) {
    if (vas_switch(vids[part]) < 0) err(1, "vas_switch");
    return work(label, seed);
}

static void jmp_end(void) {
    vas_switch(0);
    for (long i = 0; i < parts; i++)
        if (vas_detach(0, vids[i]) < 0 || vas_delete(vids[i]) < 0 || vas_seg_delete(sids[i]) < 0)
            err(1, "cannot delete part %ld", i);
}

static const struct way {
    const char *name;
    void (*begin)(void);
    uint64_t (*visit)(long part, int label, uint64_t seed);
    void (*end)(void);
} ways[] = {
    {"map", map_begin, map_visit, map_end},
    {"mp", mp_begin, mp_visit, mp_end},
    {"jmp", jmp_begin, jmp_visit, jmp_end},
};

static void run(const struct way *way, uint64_t state) {
    uint64_t sum = 0;
    way->begin();
    for (long i = 0; i < batches; i++) {
        long part = (long)(next(&state) % (uint64_t)parts);
        way->visit(part, UPDATE, next(&state));
    }
    for (long i = 0; i < parts; i++) sum = sum * 31 + way->visit(i, SUM, 0);
    way->end();
    printf("%ld updates, checksum %#lx\n", batches * BATCH, sum);
}

int main(int argc, char **argv) {
    vantage_required();
    const char *name = argc > 1 ? argv[1] : "jmp";
    uint64_t seed = 1;
    if (argc > 2) parts = atol(argv[2]);
    if (argc > 3) batches = atol(argv[3]);
    if (argc > 4) seed = strtoul(argv[4], NULL, 0);
    if (parts < 1 || parts > MOST || batches < 0) errx(2, "1 to %d parts", MOST);
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, name) == 0) {
            run(&ways[i], seed * 2 + 1);
            return 0;
        }
    errx(2, "there is no way %s", name);
}
