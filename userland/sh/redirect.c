/* Redirections: pointing descriptors elsewhere, and restoring them. */

#include "sh.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int complain(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", shell_name, what, strerror(errno));
    return -1;
}

/* A pipe holds this much without a reader; a longer document is written by a child. */
enum { PIPE_ROOM = 4096 };

static void write_all(int fd, const char *text, size_t length) {
    for (ssize_t done; length > 0; text += done, length -= (size_t)done)
        if ((done = write(fd, text, length)) <= 0) return;
}

static int open_document(struct redirect *redirect) {
    const char *text = redirect->quoted ? redirect->word : expand_document(redirect->word);
    size_t length = strlen(text);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return complain("here-document");
    pid_t pid = length > PIPE_ROOM ? fork() : 0;
    if (length <= PIPE_ROOM || pid == 0) write_all(ends[1], text, length);
    if (length > PIPE_ROOM && pid == 0) _exit(0);
    close(ends[1]);
    return ends[0];
}

static int open_file(int kind, const char *path) {
    int flags = kind == '<'        ? O_RDONLY
                : kind == T_BOTH   ? O_RDWR | O_CREAT
                : kind == T_APPEND ? O_WRONLY | O_CREAT | O_APPEND
                                   : O_WRONLY | O_CREAT | O_TRUNC;
    int fd = open(path, flags | O_CLOEXEC, 0666);
    return fd < 0 ? complain(path) : fd;
}

/* Keep a copy of `fd` under a number that programs do not use. */
static void remember(struct undone *undone, int fd) {
    size_t room = sizeof undone->steps / sizeof *undone->steps;
    if ((size_t)undone->count == room) fail(2, "too many redirections");
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
    undone->steps[undone->count++] = (struct undo){fd, copy};
}

/* N>&M and N>&- */
static int duplicate(int fd, const char *word) {
    if (strcmp(word, "-") == 0) return close(fd), 0;
    char *end;
    long from = strtol(word, &end, 10);
    if (!*word || *end) return fprintf(stderr, "%s: %s: bad fd number\n", shell_name, word), -1;
    return dup2((int)from, fd) < 0 ? complain(word) : 0;
}

static int redirect_one(struct redirect *redirect, struct undone *undone) {
    int kind = redirect->kind, fd = redirect->fd;
    if (kind == T_DUP_IN || kind == T_DUP_OUT) {
        char *word = expand_text(redirect->word);
        if (undone) remember(undone, fd);
        return duplicate(fd, word);
    }
    int opened = kind == T_HERE || kind == T_HERE_TABS
                     ? open_document(redirect)
                     : open_file(kind, expand_text(redirect->word));
    if (opened < 0) return -1;
    if (undone) remember(undone, fd);
    if (opened == fd) return fcntl(fd, F_SETFD, 0);
    int failed = dup2(opened, fd) < 0 && complain("redirection");
    close(opened);
    return failed ? -1 : 0;
}

int redirect(struct redirect *redirects, struct undone *undone) {
    fflush(stdout);
    for (; redirects; redirects = redirects->next)
        if (redirect_one(redirects, undone) < 0) return -1;
    return 0;
}

void undo(struct undone *undone) {
    fflush(stdout);
    while (undone->count > 0) {
        struct undo *step = &undone->steps[--undone->count];
        if (step->copy < 0)
            close(step->fd);
        else
            dup2(step->copy, step->fd), close(step->copy);
    }
}
