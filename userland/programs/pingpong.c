/* pingpong: a server process squares numbers; a client calls it N times (default 1000). Shows:
 * synchronous messages, and a server loop that answers and waits in one call. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>

enum label { SQUARE = 1, STOP };

static _Noreturn void serve(int ep) {
    struct ipc_msg msg = {.cap = -1};
    long token = ipc_recv(ep, &msg);
    while (token > 0 && msg.label == SQUARE) {
        msg.word[0] *= msg.word[0];
        token = ipc_reply_recv(token, ep, &msg);
    }
    if (token > 0) ipc_reply(token, &msg);
    exit(token > 0 ? 0 : 1);
}

static uint64_t square(int ep, uint64_t n) {
    struct ipc_msg msg = {.label = SQUARE, .word = {n}, .cap = -1};
    if (ipc_call(ep, &msg) < 0) err(1, "ipc_call");
    return msg.word[0];
}

int main(int argc, char **argv) {
    vantage_required();
    uint64_t calls = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    int ep = ipc_endpoint();
    if (ep < 0) err(1, "ipc_endpoint");
    pid_t server = fork();
    if (server < 0) err(1, "fork");
    if (server == 0) serve(ep);

    for (uint64_t n = 0; n < calls; n++)
        if (square(ep, n) != n * n) errx(1, "the answer to %lu is wrong", n);
    struct ipc_msg stop = {.label = STOP, .cap = -1};
    ipc_call(ep, &stop);
    int status;
    waitpid(server, &status, 0);
    printf("%lu calls, %lu right answers\n", calls, calls);
    return status != 0;
}
