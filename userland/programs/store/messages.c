/* The store as a server: the same table in the memory of one process, which carries out the
 * requests in the messages of others. Only the server uses the table, so there is no lock. */

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>

#include "store.h"

enum label { GET = 1, SET, ADD, STOP, DONE, FAILED };

/* The data of a message: a key, and the value for SET; the reply has the value that GET found.
 * The amount for ADD fits into the message itself. */
union letter {
    struct {
        char key[KEY_BYTES];
        struct value value;
    } ask;
    struct value found;
};

static int endpoint;

/* Carry the request out, and turn message and letter into the answer. */
static void serve(struct table *table, struct ipc_msg *msg, union letter *letter) {
    const struct value *found = NULL;
    bool done = true;
    if (msg->label == GET)
        done = (found = table_get(table, letter->ask.key)) != NULL;
    else if (msg->label == SET)
        done = table_set(table, letter->ask.key, &letter->ask.value);
    else if (msg->label == ADD)
        done = table_add(table, letter->ask.key, msg->word[0]);
    if (found) letter->found = *found;
    msg->label = done ? DONE : FAILED;
    msg->data_bytes = found ? sizeof letter->found : 0;
}

static _Noreturn void server(void) {
    static _Alignas(16) char memory[STORE_BYTES];
    struct table *table = table_create(memory, sizeof memory);
    union letter letter;
    struct ipc_msg msg = {.data = &letter, .data_capacity = sizeof letter, .cap = -1};
    long token = ipc_recv(endpoint, &msg);
    while (token > 0 && msg.label != STOP) {
        serve(table, &msg, &letter);
        token = ipc_reply_recv(token, endpoint, &msg);
    }
    if (token > 0) ipc_reply(token, &msg);
    exit(token > 0 ? 0 : 1);
}

static void make(void) {
    if ((endpoint = ipc_endpoint()) < 0) err(1, "cannot make an endpoint");
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot start the server");
    if (pid == 0) server();
}

static void join(void) {} /* the endpoint is a descriptor, which fork has copied */

/* Send a message with `bytes` of the letter, and wait for the answer. */
static bool call(enum label label, union letter *letter, size_t bytes, uint64_t word) {
    struct ipc_msg msg = {.label = label, .word = {word}, .data = letter, .data_bytes = bytes,
                          .data_capacity = sizeof *letter, .cap = -1};
    if (ipc_call(endpoint, &msg) < 0) err(1, "the server is gone");
    return msg.label == DONE;
}

static bool get(const char *key, struct value *value) {
    union letter letter;
    strlcpy(letter.ask.key, key, KEY_BYTES);
    if (!call(GET, &letter, KEY_BYTES, 0)) return false;
    *value = letter.found;
    return true;
}

static void set(const char *key, const struct value *value) {
    union letter letter = {.ask.value = *value};
    strlcpy(letter.ask.key, key, KEY_BYTES);
    if (!call(SET, &letter, sizeof letter, 0)) errx(1, "the store is full");
}

static void add(const char *key, uint64_t amount) {
    union letter letter;
    strlcpy(letter.ask.key, key, KEY_BYTES);
    if (!call(ADD, &letter, KEY_BYTES, amount)) errx(1, "the store is full");
}

static void end(void) {
    int status;
    union letter letter;
    call(STOP, &letter, 0, 0);
    if (wait(&status) < 0 || status) errx(1, "the server failed");
}

const struct way by_messages = {"messages", make, join, get, set, add, end};
