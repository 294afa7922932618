/* Signals: the traps of a script, and the shell's own handling. */

#include "sh.h"

#include <errno.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *actions[NSIG]; /* 0 is the end of the shell */
static volatile sig_atomic_t came[NSIG], any_came, typed_interrupt;
static int running;

static void note(int signal) {
    if (signal == SIGINT) typed_interrupt = 1;
    came[signal] = any_came = 1;
}

/* Without SA_RESTART, so that `wait` and `read` end. */
static void install(int signal, sighandler_t handler) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(signal, &action, NULL);
}

/* How an interactive shell handles a signal without a trap. */
static sighandler_t usual(int signal) {
    if (!interactive) return SIG_DFL;
    switch (signal) {
    case SIGINT: return note;
    case SIGQUIT:
    case SIGTERM:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return SIG_IGN;
    default: return SIG_DFL;
    }
}

void set_trap(int signal, const char *action) {
    free(actions[signal]);
    actions[signal] = action ? strdup(action) : NULL;
    if (signal > 0) install(signal, !action ? usual(signal) : *action ? note : SIG_IGN);
}

static const int shells_own[] = {SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

void set_up_signals(void) {
    for (size_t i = 0; i < sizeof shells_own / sizeof *shells_own; i++)
        install(shells_own[i], usual(shells_own[i]));
}

/* In a child of an interactive shell: restore the signals that the shell ignores for itself. */
void default_signals(void) {
    for (size_t i = 0; i < sizeof shells_own / sizeof *shells_own; i++) {
        if (!actions[shells_own[i]]) install(shells_own[i], SIG_DFL);
    }
}

int has_traps(void) {
    for (int signal = 0; signal < NSIG; signal++)
        if (actions[signal]) return 1;
    return 0;
}

void clear_traps(void) {
    any_came = 0;
    memset((void *)came, 0, sizeof came);
    for (int signal = 0; signal < NSIG; signal++)
        if (actions[signal] && *actions[signal]) set_trap(signal, NULL);
}

void print_traps(void) {
    for (int signal = 0; signal < NSIG; signal++)
        if (actions[signal])
            printf("trap -- %s %s\n", quoted(actions[signal]),
                   signal ? sigabbrev_np(signal) : "EXIT");
}

int pending_signal(void) {
    for (int signal = 1; signal < NSIG; signal++)
        if (came[signal] && actions[signal]) return signal;
    return 0;
}

static void run_action(int signal) {
    int before = status;
    char *text = strdup(actions[signal]);
    running = 1;
    run_text(text, 0);
    running = 0;
    free(text);
    if (skipping != SKIP_RETURN) status = before;
}

void run_traps(void) {
    if (interactive && interrupted()) abandon();
    if (!any_came || running) return;
    any_came = 0;
    for (int signal = 1; signal < NSIG; signal++) {
        if (!came[signal]) continue;
        came[signal] = 0;
        if (actions[signal]) run_action(signal);
    }
}

int interrupted(void) {
    int result = typed_interrupt;
    typed_interrupt = 0;
    return result;
}

int signal_number(const char *name) {
    if (isdigit(*name)) return atoi(name) < NSIG ? atoi(name) : -1;
    if (strncmp(name, "SIG", 3) == 0) name += 3;
    if (strcmp(name, "EXIT") == 0) return 0;
    for (int signal = 1; signal <= SIGSYS; signal++)
        if (strcmp(name, sigabbrev_np(signal)) == 0) return signal;
    return -1;
}

_Noreturn void leave(int with) {
    status = with;
    if (actions[0]) {
        char *text = actions[0];
        actions[0] = NULL;
        skipping = NO_SKIP;
        run_text(text, 0);
        status = with;
    }
    fflush(stdout);
    _exit(status);
}
