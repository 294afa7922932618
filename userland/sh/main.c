/* sh: our own shell. Shows: fork, exec, pipes, descriptors, process groups and signals at work
 * together.
 *
 *     sh [-efmnuvxi] [SCRIPT [ARGUMENT..]]      sh -c COMMANDS [NAME [ARGUMENT..]]      sh -s */

#include "sh.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *shell_name = "sh";
static jmp_buf top; /* where an interactive shell continues after an error */

_Noreturn void fail(int with, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", shell_name, message);
    status = with;
    if (interactive) longjmp(top, 1);
    leave(with);
}

_Noreturn void abandon(void) {
    fprintf(stderr, "\n");
    status = 130;
    longjmp(top, 1);
}

/* ---- Reading commands from standard input -------------------------------------------- */

static void prompt(const char *name, const char *otherwise) {
    if (!interactive) return;
    const char *text = get(name);
    fprintf(stderr, "%s", text ? expand_document(text) : otherwise);
}

/* One line, byte by byte: the bytes after it may belong to a command. 0 at the end; -1 after
 * ^C. */
static int read_line(struct text *line) {
    for (char c = 0; c != '\n';) {
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got == 0) return line->length > 0;
        if (got < 0 && errno == EINTR) {
            run_traps();
            if (!interactive || !interrupted()) continue;
            fprintf(stderr, "\n");
            return -1;
        }
        if (got < 0) fail(2, "cannot read commands: %s", strerror(errno));
        add(line, c ? c : ' ');
    }
    if (options.verbose) fprintf(stderr, "%s", line->bytes);
    return 1;
}

/* NULL if more lines are needed, or if there is nothing to do. */
static struct node *parse(const char *text, int *why) {
    jmp_buf out;
    struct parser p = {.at = text, .out = &out};
    *why = setjmp(out);
    if (*why) return NULL;
    return parse_line(&p);
}

/* Reads and runs one command, of as many lines as it takes. 0 at the end of the input. */
static int step(void) {
    struct text text = {0};
    int why = INCOMPLETE;
    struct node *node = NULL;
    tell_changes();
    for (const char *which = "PS1"; why == INCOMPLETE; which = "PS2") {
        prompt(which, which[2] == '2' ? "> " : geteuid() ? "$ " : "# ");
        int got = read_line(&text);
        if (got < 0) return status = 130, 1;
        if (got == 0 || text.bytes[text.length - 1] != '\n') {
            if (got == 0 && text.length == 0) return 0;
            if (got == 0) return run_text(text.bytes, 0), 0;
        }
        node = parse(text.bytes, &why);
    }
    if (why == WRONG) status = 2;
    if (why == WRONG && !interactive) leave(2);
    if (node) run(node, 0);
    return 1;
}

static void read_commands(void) {
    if (setjmp(top)) {
        skipping = NO_SKIP;
        function_depth = loop_depth = 0;
        take_terminal();
    }
    for (;;) {
        struct mark before = mark();
        if (!step()) break;
        release(before);
        skipping = NO_SKIP;
    }
    if (interactive) fprintf(stderr, "\n");
}

/* ---- Starting ------------------------------------------------------------------------ */

struct wish {
    const char *commands; /* of -c */
    int standard_input, interactive;
};

/* The options; returns the index of the first other word. */
static int read_options(int argc, char **argv, struct wish *wish) {
    int at = 1, takes_commands = 0;
    for (; at < argc && (*argv[at] == '-' || *argv[at] == '+') && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        for (const char *letter = argv[at] + 1; *letter; letter++) {
            int *known = option(*letter);
            if (*letter == 'c')
                takes_commands = 1;
            else if (*letter == 's')
                wish->standard_input = 1;
            else if (*letter == 'i')
                wish->interactive = 1;
            else if (*letter != 'l' && !known)
                fail(2, "there is no option -%c", *letter);
            if (known) *known = *argv[at] == '-';
        }
    }
    if (!takes_commands) return at;
    if (at == argc) fail(2, "-c needs commands");
    wish->commands = argv[at];
    return at + 1;
}

static void set_variables(void) {
    char pid[16], folder[1024];
    take_environment();
    snprintf(pid, sizeof pid, "%d", getppid());
    set("PPID", pid);
    set("IFS", " \t\n");
    set("OPTIND", "1");
    if (getcwd(folder, sizeof folder)) set("PWD", folder);
    if (!get("PATH")) set("PATH", "/bin");
}

static void become_interactive(void) {
    interactive = options.monitor = 1;
    set_up_signals();
    own_terminal();
}

int main(int argc, char **argv) {
    struct wish wish = {0};
    shell_pid = getpid();
    if (argc > 0) shell_name = argv[0];
    int at = read_options(argc, argv, &wish);
    set_variables();
    int has_script = !wish.commands && !wish.standard_input && at < argc;
    const char *script = has_script ? argv[at] : NULL;
    if ((has_script || wish.commands) && at < argc) shell_name = argv[at++];
    parameters = (struct parameters){argc - at, argv + at};
    int from_terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (wish.interactive || (!script && !wish.commands && from_terminal)) become_interactive();
    if (wish.commands)
        run_text(wish.commands, LAST);
    else if (script)
        run_file(script, 1);
    else
        read_commands();
    leave(status);
}
