/* Running a tree. Every function here returns a status and leaves it in `status`. */

#include "sh.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int status, skipping, skip_levels, loop_depth, function_depth;
int interactive, in_subshell;
pid_t shell_pid, last_background;
struct options options;
struct saved *locals;

int *option(char letter) {
    switch (letter) {
    case 'e': return &options.errexit;
    case 'f': return &options.noglob;
    case 'm': return &options.monitor;
    case 'n': return &options.noexec;
    case 'u': return &options.nounset;
    case 'v': return &options.verbose;
    case 'x': return &options.xtrace;
    default: return NULL;
    }
}

/* ---- Functions ----------------------------------------------------------------------- */

struct function {
    struct function *next;
    char *name;
    struct node *body;
};

static struct function *functions;

static struct function **place_of_function(const char *name) {
    struct function **link = &functions;
    while (*link && strcmp((*link)->name, name) != 0) link = &(*link)->next;
    return link;
}

int is_function(const char *name) { return *place_of_function(name) != NULL; }

void forget_function(const char *name) {
    struct function **link = place_of_function(name), *function = *link;
    if (!function) return;
    *link = function->next;
    free(function->name);
    free(function);
}

static int define(struct node *node) {
    forget_function(node->name);
    struct function *function = calloc(1, sizeof *function);
    *function = (struct function){functions, strdup(node->name), node->left};
    functions = function;
    keep();
    return 0;
}

static int call(struct function *function, char **arguments, int flags) {
    struct parameters outer = parameters;
    struct saved *outer_locals = locals;
    int outer_loop = loop_depth;
    for (parameters.count = 0; arguments[parameters.count + 1];) parameters.count++;
    parameters.values = arguments + 1;
    locals = NULL;
    loop_depth = 0;
    function_depth++;
    run(function->body, flags & TESTED);
    if (skipping == SKIP_RETURN) skipping = NO_SKIP;
    function_depth--;
    loop_depth = outer_loop;
    restore(locals);
    locals = outer_locals;
    parameters = outer;
    return status;
}

/* ---- Simple commands ----------------------------------------------------------------- */

static void trace(struct word *assignments, char **arguments) {
    const char *prompt = get("PS4");
    fprintf(stderr, "%s", prompt ? prompt : "+ ");
    for (; assignments; assignments = assignments->next)
        fprintf(stderr, "%s%s", assignments->text, assignments->next || *arguments ? " " : "");
    for (; *arguments; arguments++)
        fprintf(stderr, "%s%s", quoted(*arguments), arguments[1] ? " " : "");
    fprintf(stderr, "\n");
}

/* NAME=value words; with `saved`, so that they can be undone. */
static void assign(struct word *assignments, struct saved **saved, int exports) {
    for (; assignments; assignments = assignments->next) {
        char *value = assignment_value(assignments->text);
        char *name = take_text(assignments->text, (size_t)(value - assignments->text) - 1);
        if (saved) *saved = save(*saved, name);
        set(name, expand_text(value));
        if (exports) export_variable(name);
    }
}

static int substituted; /* by a substitution: its status is ours, if there is no other */

static int only_redirects(struct node *node) {
    struct undone undone = {0};
    int failed = redirect(node->redirects, &undone) < 0;
    undo(&undone);
    return failed ? 1 : substituted ? status : 0;
}

static int run_builtin(const struct builtin *builtin, struct node *node, int count, char **row) {
    struct undone undone = {0};
    struct saved *saved = NULL;
    int for_good = strcmp(builtin->name, "exec") == 0;
    if (redirect(node->redirects, for_good ? NULL : &undone) < 0) {
        undo(&undone);
        return 2;
    }
    assign(node->assignments, builtin->special ? NULL : &saved, for_good || !builtin->special);
    int result = builtin->run(count, row);
    restore(saved);
    undo(&undone);
    return result;
}

static int run_function(struct function *function, struct node *node, char **row, int flags) {
    struct undone undone = {0};
    struct saved *saved = NULL;
    int result = 2;
    if (redirect(node->redirects, &undone) == 0) {
        assign(node->assignments, &saved, 1);
        result = call(function, row, flags);
    }
    restore(saved);
    undo(&undone);
    return result;
}

static int run_external(struct node *node, char **row, int flags) {
    int stays = !(flags & LAST) || has_traps();
    struct job *job = stays ? new_job(node->source ? node->source : row[0]) : NULL;
    if (!stays || start(job, 0) == 0) {
        if (!stays) fflush(stdout);
        if (redirect(node->redirects, NULL) < 0) _exit(2);
        assign(node->assignments, NULL, 1);
        exec_program(row);
    }
    return wait_for(job);
}

static int run_simple(struct node *node, int flags) {
    int count;
    substituted = 0;
    char **row = expand_words(node->words, &count);
    if (options.xtrace) trace(node->assignments, row);
    if (count == 0) {
        assign(node->assignments, NULL, 0);
        return only_redirects(node);
    }
    struct function *function = *place_of_function(row[0]);
    const struct builtin *builtin = function ? NULL : find_builtin(row[0]);
    if (function) return run_function(function, node, row, flags);
    if (builtin) return run_builtin(builtin, node, count, row);
    return run_external(node, row, flags);
}

/* ---- Programs ------------------------------------------------------------------------ */

static int is_program(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode) && access(path, X_OK) == 0;
}

/* Search PATH, unless the name has a slash; NULL if there is none. */
char *find_program(const char *name) {
    const char *folders = get("PATH");
    if (strchr(name, '/')) return take_text(name, strlen(name));
    for (const char *at = folders ? folders : "/bin";;) {
        size_t length = strcspn(at, ":");
        struct text path = {0};
        add_all(&path, take_text(at, length));
        if (length) add(&path, '/');
        add_all(&path, name);
        if (is_program(path.bytes)) return path.bytes;
        at += length;
        if (!*at++) return NULL;
    }
}

static int status_of_error(void) { return errno == ENOENT || errno == ENOTDIR ? 127 : 126; }

/* A file that is no program, but may be run, is a script for the shell. */
_Noreturn void exec_program(char **arguments) {
    char *path = find_program(arguments[0]);
    if (!path) {
        fprintf(stderr, "%s: %s: not found\n", shell_name, arguments[0]);
        _exit(127);
    }
    execve(path, arguments, environ);
    if (errno != ENOEXEC) {
        fprintf(stderr, "%s: %s: %s\n", shell_name, arguments[0], strerror(errno));
        _exit(status_of_error());
    }
    in_subshell = 1;
    shell_name = path;
    for (parameters.count = 0; arguments[parameters.count + 1];) parameters.count++;
    parameters.values = arguments + 1;
    leave(run_file(path, 1));
}

char *command_output(const char *text) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) fail(2, "pipe: %s", strerror(errno));
    pid_t pid = start(NULL, 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        leave(run_text(text, LAST));
    }
    close(ends[1]);
    struct text output = {0};
    char buffer[1024];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) != 0;) {
        if (got < 0 && errno != EINTR) break;
        for (ssize_t i = 0; i < got; i++)
            if (buffer[i]) add(&output, buffer[i]);
    }
    close(ends[0]);
    int ended = 0;
    while (waitpid(pid, &ended, 0) < 0 && errno == EINTR);
    substituted = 1;
    status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    while (output.length && output.bytes[output.length - 1] == '\n')
        output.bytes[--output.length] = '\0';
    return output.bytes ? output.bytes : "";
}

/* ---- Compound commands --------------------------------------------------------------- */

static int run_pipeline(struct node *node) {
    struct job *job = new_job(node->source);
    int previous = -1;
    for (struct node *part = node->left; part; part = part->next) {
        int ends[2] = {-1, -1};
        if (part->next && pipe2(ends, O_CLOEXEC) < 0) fail(2, "pipe: %s", strerror(errno));
        if (start(job, 0) == 0) {
            if (previous >= 0) dup2(previous, STDIN_FILENO), close(previous);
            if (part->next) dup2(ends[1], STDOUT_FILENO), close(ends[0]), close(ends[1]);
            leave(run(part, LAST));
        }
        if (previous >= 0) close(previous);
        if (part->next) close(ends[1]);
        previous = ends[0];
    }
    return wait_for(job);
}

static int run_subshell(struct node *node, int flags) {
    struct job *job = new_job(node->source ? node->source : "(..)");
    if (start(job, 0) == 0) leave(run(node->left, LAST | (flags & TESTED)));
    return wait_for(job);
}

static int run_background(struct node *node) {
    struct job *job = new_job(node->source);
    pid_t pid = start(job, 1);
    if (pid == 0) leave(run(node->left, LAST));
    last_background = pid;
    if (interactive) fprintf(stderr, "[%d] %d\n", job->number, pid);
    return 0;
}

/* After each round: does the loop go on? */
static int goes_on(void) {
    if (skipping == NO_SKIP) return 1;
    if (skipping == SKIP_RETURN || --skip_levels > 0) return 0;
    int again = skipping == SKIP_CONTINUE;
    skipping = NO_SKIP;
    return again;
}

static int run_loop(struct node *node, int flags) {
    int result = 0;
    loop_depth++;
    for (;;) {
        int found = run(node->left, TESTED);
        if (skipping) {
            if (goes_on()) continue;
            break;
        }
        if ((found == 0) != (node->kind == WHILE)) break;
        result = run(node->right, flags & TESTED);
        if (!goes_on()) break;
    }
    loop_depth--;
    return result;
}

static int run_for(struct node *node, int flags) {
    int count = parameters.count, result = 0;
    char **values = node->has_list ? expand_words(node->words, &count) : parameters.values;
    loop_depth++;
    for (int i = 0; i < count; i++) {
        set(node->name, values[i]);
        result = run(node->right, flags & TESTED);
        if (!goes_on()) break;
    }
    loop_depth--;
    return result;
}

static int run_case(struct node *node, int flags) {
    char *subject = expand_text(node->words->text);
    for (struct branch *branch = node->branches; branch; branch = branch->next)
        for (struct word *pattern = branch->patterns; pattern; pattern = pattern->next)
            if (fnmatch(expand_pattern(pattern->text), subject, 0) == 0)
                return run(branch->body, flags);
    return 0;
}

static int run_if(struct node *node, int flags) {
    int found = run(node->left, TESTED);
    if (skipping) return status;
    if (found == 0) return run(node->right, flags);
    return node->third ? run(node->third, flags) : 0;
}

static int run_kind(struct node *node, int flags) {
    switch (node->kind) {
    case COMMAND: return run_simple(node, flags);
    case PIPELINE: return run_pipeline(node);
    case NOT: return !run(node->left, TESTED);
    case AND: return run(node->left, TESTED) == 0 ? run(node->right, flags) : status;
    case OR: return run(node->left, TESTED) != 0 ? run(node->right, flags) : status;
    case SEQUENCE: run(node->left, flags & TESTED); return run(node->right, flags);
    case BACKGROUND: return run_background(node);
    case SUBSHELL: return run_subshell(node, flags);
    case GROUP: return run(node->left, flags);
    case IF: return run_if(node, flags);
    case WHILE:
    case UNTIL: return run_loop(node, flags);
    case FOR: return run_for(node, flags);
    case CASE: return run_case(node, flags);
    case FUNCTION: return define(node);
    }
    return 0;
}

/* With set -e the shell ends if one of these fails and its status is not tested. */
static int may_end_shell(enum kind kind) {
    return kind == COMMAND || kind == PIPELINE || kind == SUBSHELL;
}

int run(struct node *node, int flags) {
    if (!node || options.noexec) return status = 0;
    if (skipping) return status;
    struct mark before = mark();
    struct undone undone = {0};
    int compound = node->kind != COMMAND && node->redirects;
    if (compound && redirect(node->redirects, &undone) < 0)
        status = 2;
    else
        status = run_kind(node, compound ? flags & TESTED : flags);
    undo(&undone);
    release(before);
    run_traps();
    if (status && options.errexit && !(flags & TESTED) && !skipping && may_end_shell(node->kind))
        leave(status);
    return status;
}

/* ---- Text ---------------------------------------------------------------------------- */

/* LAST: nothing follows the text in this process. */
int run_text(const char *text, int flags) {
    jmp_buf out;
    struct parser p = {.at = text, .out = &out};
    int why = setjmp(out);
    if (why == INCOMPLETE)
        fprintf(stderr, "%s: syntax error: the text ends too early\n", shell_name);
    if (why) {
        if (!interactive) leave(2);
        return status = 2;
    }
    int ran = 0;
    while (*p.at && !skipping) {
        struct mark before = mark();
        struct node *line = parse_line(&p);
        int is_last = !p.at[strspn(p.at, " \t\n")];
        if (line) run(line, is_last ? flags : 0), ran = 1;
        release(before);
    }
    return ran ? status : (status = 0);
}

int run_file(const char *path, int must_exist) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) < 0 || S_ISDIR(found.st_mode)) {
        if (fd >= 0) close(fd), errno = EISDIR;
        if (must_exist) fail(status_of_error(), "%s: %s", path, strerror(errno));
        return status;
    }
    struct text text = {0};
    char buffer[4096];
    for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;)
        for (ssize_t i = 0; i < got; i++) add(&text, buffer[i] ? buffer[i] : ' ');
    close(fd);
    return run_text(text.bytes ? text.bytes : "", 0);
}
