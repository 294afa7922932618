/* Commands that are part of the shell: they change it, or are used too often to be programs. */

#include "sh.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *command, const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s%s%s\n", shell_name, command, what, why ? ": " : "", why ? why : "");
    return 1;
}

static int run_nothing(int argc, char **argv) { return (void)argc, (void)argv, 0; }
static int run_false(int argc, char **argv) { return (void)argc, (void)argv, 1; }

/* ---- Where we are -------------------------------------------------------------------- */

static int run_cd(int argc, char **argv) {
    const char *to = argc > 1 ? argv[1] : get("HOME");
    int back = to && strcmp(to, "-") == 0;
    if (back) to = get("OLDPWD");
    if (!to) return complain("cd", back ? "OLDPWD not set" : "HOME not set", NULL);
    if (chdir(to) < 0) return complain("cd", to, strerror(errno));
    const char *before = get("PWD");
    char folder[4096];
    if (before) set("OLDPWD", before);
    if (getcwd(folder, sizeof folder)) set("PWD", folder);
    if (back) printf("%s\n", folder);
    return 0;
}

static int run_pwd(int argc, char **argv) {
    char folder[4096];
    (void)argc, (void)argv;
    if (!getcwd(folder, sizeof folder)) return complain("pwd", strerror(errno), NULL);
    return puts(folder) < 0;
}

static int run_umask(int argc, char **argv) {
    if (argc > 1) {
        char *end;
        unsigned long mask = strtoul(argv[1], &end, 8);
        if (*end || mask > 0777) return complain("umask", argv[1], "bad mask");
        umask((mode_t)mask);
        return 0;
    }
    mode_t mask = umask(0);
    umask(mask);
    printf("%04o\n", mask);
    return 0;
}

/* ---- Variables ----------------------------------------------------------------------- */

/* Apply an action to each word, which is NAME or NAME=VALUE. */
static int declare(int argc, char **argv, void (*mark_it)(const char *)) {
    for (int i = 1; i < argc; i++) {
        size_t length = name_length(argv[i]);
        char *name = take_text(argv[i], length), *value = assignment_value(argv[i]);
        if (!length || (argv[i][length] && !value))
            fail(2, "%s: %s: bad variable name", argv[0], argv[i]);
        if (value) set(name, value);
        mark_it(name);
    }
    return 0;
}

static int only_prints(int argc, char **argv) {
    return argc == 1 || (argc == 2 && strcmp(argv[1], "-p") == 0);
}

static int run_export(int argc, char **argv) {
    if (only_prints(argc, argv)) return print_variables("export ", EXPORTED), 0;
    return declare(argc, argv, export_variable);
}

static int run_readonly(int argc, char **argv) {
    if (only_prints(argc, argv)) return print_variables("readonly ", READONLY), 0;
    return declare(argc, argv, make_readonly);
}

static int run_local(int argc, char **argv) {
    if (!function_depth) return complain("local", "not in a function", NULL);
    for (int i = 1; i < argc; i++) {
        char *name = take_text(argv[i], name_length(argv[i])), *value = assignment_value(argv[i]);
        locals = save(locals, name);
        if (value)
            set(name, value);
        else
            unset(name);
    }
    return 0;
}

static int run_unset(int argc, char **argv) {
    int functions = 0;
    for (int i = 1; i < argc; i++) {
        if (i == 1 && argv[i][0] == '-')
            functions = argv[i][1] == 'f';
        else if (functions)
            forget_function(argv[i]);
        else
            unset(argv[i]);
    }
    return 0;
}

static char **copies(int count, char **values) {
    char **row = calloc((size_t)count + 1, sizeof *row);
    for (int i = 0; i < count; i++) row[i] = strdup(values[i]);
    return row;
}

static void set_long_option(const char *name, int value) {
    static const char *const names[] = {"errexit",  "fnoglob",  "mmonitor", "nnoexec",
                                        "unounset", "vverbose", "xxtrace"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i] + (i > 0)) == 0) {
            *option(names[i][0]) = value;
            return;
        }
    fail(2, "set: there is no option -o %s", name);
}

static int run_set(int argc, char **argv) {
    int at = 1;
    if (argc == 1) return print_variables("", ALL), 0;
    for (; at < argc && (*argv[at] == '-' || *argv[at] == '+'); at++) {
        if (strcmp(argv[at], "--") == 0) break;
        int value = *argv[at] == '-';
        for (const char *letter = argv[at] + 1; *letter; letter++) {
            if (*letter == 'o' && at + 1 < argc) {
                set_long_option(argv[++at], value);
                break;
            }
            if (!option(*letter)) fail(2, "set: there is no option -%c", *letter);
            *option(*letter) = value;
        }
    }
    int marked = at < argc && strcmp(argv[at], "--") == 0;
    at += marked;
    if (at < argc || marked)
        parameters = (struct parameters){argc - at, copies(argc - at, argv + at)};
    return 0;
}

static int run_shift(int argc, char **argv) {
    int by = argc > 1 ? atoi(argv[1]) : 1;
    if (by < 0 || by > parameters.count) return complain("shift", "can't shift that many", NULL);
    parameters.count -= by;
    parameters.values += by;
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------- */

/* A line without its newline. With -r it keeps backslashes; otherwise a quoting backslash becomes
 * \1 in front of the quoted character. The result is 0 at the end of the input. */
static int read_line(struct text *line, int raw) {
    for (char c;;) {
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR && !pending_signal()) continue;
        if (got <= 0) return 0;
        if (c == '\n') return 1;
        if (c == '\\' && !raw) {
            if (read(STDIN_FILENO, &c, 1) <= 0) return 0;
            if (c == '\n') continue;
            add(line, '\1');
        }
        if (c) add(line, c);
    }
}

static char *without_marks(const char *from, const char *to) {
    struct text text = {0};
    for (; from < to; from++)
        if (*from != '\1') add(&text, *from);
    return text.bytes ? text.bytes : "";
}

static int is_space(const char *ifs, char c) { return c && isspace(c) && strchr(ifs, c); }

/* Up to the next separator; the last name gets the rest of the line. */
static const char *take_field(const char *at, const char *ifs, const char *name, int is_last) {
    const char *end = at;
    while (*end && (is_last || !strchr(ifs, *end))) end += *end == '\1' && end[1] ? 2 : 1;
    const char *next = end;
    if (is_last)
        while (end > at && is_space(ifs, end[-1]) && !(end > at + 1 && end[-2] == '\1')) end--;
    set(name, without_marks(at, end));
    while (is_space(ifs, *next)) next++;
    if (*next && next == end && !is_last) next++;
    while (is_space(ifs, *next)) next++;
    return next;
}

static int run_read(int argc, char **argv) {
    int raw = 0, first = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "-r") == 0)
            raw = 1;
        else if (strcmp(argv[first], "-p") == 0 && first + 1 < argc)
            fprintf(stderr, "%s", argv[++first]);
        else
            return complain("read", argv[first], "there is no such option");
    }
    if (first == argc) return complain("read", "name a variable", NULL);
    struct text line = {0};
    int got = read_line(&line, raw);
    const char *ifs = get("IFS"), *at = line.bytes ? line.bytes : "";
    if (!ifs) ifs = " \t\n";
    while (is_space(ifs, *at)) at++;
    for (int i = first; i < argc; i++) at = take_field(at, ifs, argv[i], i == argc - 1);
    return !got;
}

static int run_getopts(int argc, char **argv) {
    if (argc < 3) return complain("getopts", "usage: getopts LETTERS NAME [WORD..]", NULL);
    struct parameters from = argc > 3 ? (struct parameters){argc - 3, argv + 3} : parameters;
    const char *stored = get("OPTIND");
    static int within = 1; /* where in the word we are */
    int index = stored ? atoi(stored) : 1, quiet = *argv[1] == ':';
    const char *word = index <= from.count ? from.values[index - 1] : NULL;
    if (!word || *word != '-' || !word[1]) return set(argv[2], "?"), within = 1;
    if (strcmp(word, "--") == 0) index++;
    char letter[2] = {word[within++]}, result[2] = {*letter}, number[16];
    const char *entry = *letter == ':' ? NULL : strchr(argv[1], *letter);
    int ends = strcmp(word, "--") == 0, needs = entry && entry[1] == ':';
    if (!ends && needs) {
        const char *argument = word[within] ? word + within : from.values[index++];
        if (argument && index <= from.count)
            set("OPTARG", argument);
        else
            *result = quiet ? ':' : '?';
    } else if (!ends && !entry) {
        *result = '?';
        if (quiet)
            set("OPTARG", letter);
        else
            complain("getopts", letter, "there is no such option");
    }
    if (!word[within] || needs || ends) within = 1, index += !ends;
    snprintf(number, sizeof number, "%d", index);
    set("OPTIND", number);
    set(argv[2], ends ? "?" : result);
    return ends;
}

/* ---- Flow of control ----------------------------------------------------------------- */

static int run_exit(int argc, char **argv) { leave(argc > 1 ? atoi(argv[1]) & 255 : status); }

static int run_return(int argc, char **argv) {
    skipping = SKIP_RETURN;
    return argc > 1 ? atoi(argv[1]) & 255 : status;
}

static int run_break(int argc, char **argv) {
    int levels = argc > 1 ? atoi(argv[1]) : 1;
    if (levels < 1) fail(2, "%s: %s: bad number", argv[0], argv[1]);
    if (!loop_depth) return 0;
    skip_levels = levels < loop_depth ? levels : loop_depth;
    skipping = *argv[0] == 'b' ? SKIP_BREAK : SKIP_CONTINUE;
    return 0;
}

static int run_eval(int argc, char **argv) {
    struct text text = {0};
    for (int i = 1; i < argc; i++) {
        if (i > 1) add(&text, ' ');
        add_all(&text, argv[i]);
    }
    return run_text(text.bytes ? text.bytes : "", 0);
}

static int run_dot(int argc, char **argv) {
    if (argc < 2) return complain(".", "name a file", NULL);
    char *path = strchr(argv[1], '/') || access(argv[1], R_OK) == 0 ? argv[1]
                                                                    : find_program(argv[1]);
    if (!path) fail(2, ".: %s: not found", argv[1]);
    int result = run_file(path, 1);
    if (skipping == SKIP_RETURN) skipping = NO_SKIP;
    return result;
}

static int run_exec(int argc, char **argv) {
    if (argc == 1) return 0;
    fflush(stdout);
    if (interactive) default_signals();
    exec_program(argv + 1);
}

static int describe(const char *name, int briefly) {
    char *path = NULL;
    if (is_function(name))
        printf(briefly ? "%s\n" : "%s is a shell function\n", name);
    else if (find_builtin(name))
        printf(briefly ? "%s\n" : "%s is a shell builtin\n", name);
    else if ((path = find_program(name)) && access(path, X_OK) == 0)
        printf(briefly ? "%s\n" : "%s is %s\n", briefly ? path : name, path);
    else {
        if (!briefly) printf("%s: not found\n", name);
        return 127;
    }
    return 0;
}

static int run_type(int argc, char **argv) {
    int result = 0;
    for (int i = 1; i < argc; i++) result |= describe(argv[i], 0);
    return result;
}

/* command NAME ..: not the function of that name. command -v NAME: what is it? */
static int run_command(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "-v") == 0) return describe(argv[2], 1);
    if (argc > 2 && strcmp(argv[1], "-V") == 0) return describe(argv[2], 0);
    if (argc == 1) return 0;
    const struct builtin *builtin = find_builtin(argv[1]);
    if (builtin) return builtin->run(argc - 1, argv + 1);
    struct job *job = new_job(argv[1]);
    if (start(job, 0) == 0) exec_program(argv + 1);
    return wait_for(job);
}

static int run_trap(int argc, char **argv) {
    if (argc == 1) return print_traps(), 0;
    int first = strcmp(argv[1], "--") == 0 ? 2 : 1, result = 0;
    int resets = argc - first == 1 || strcmp(argv[first], "-") == 0 || isdigit(*argv[first]);
    for (int i = resets && signal_number(argv[first]) >= 0 ? first : first + 1; i < argc; i++) {
        int signal = signal_number(argv[i]);
        if (signal < 0)
            result = complain("trap", argv[i], "bad trap");
        else
            set_trap(signal, resets ? NULL : argv[first]);
    }
    return result;
}

const struct builtin builtins[] = {
    {":", run_nothing, 1},
    {".", run_dot, 1},
    {"[", test_main, 0},
    {"break", run_break, 1},
    {"cd", run_cd, 0},
    {"command", run_command, 0},
    {"continue", run_break, 1},
    {"echo", echo_main, 0},
    {"eval", run_eval, 1},
    {"exec", run_exec, 1},
    {"exit", run_exit, 1},
    {"export", run_export, 1},
    {"false", run_false, 0},
    {"getopts", run_getopts, 0},
    {"local", run_local, 0},
    {"printf", printf_main, 0},
    {"pwd", run_pwd, 0},
    {"read", run_read, 0},
    {"readonly", run_readonly, 1},
    {"return", run_return, 1},
    {"set", run_set, 1},
    {"shift", run_shift, 1},
    {"test", test_main, 0},
    {"trap", run_trap, 1},
    {"true", run_nothing, 0},
    {"type", run_type, 0},
    {"umask", run_umask, 0},
    {"unset", run_unset, 1},
    {0},
};

static const struct builtin *find_in(const struct builtin *table, const char *name) {
    while (table->name && strcmp(table->name, name) != 0) table++;
    return table->name ? table : NULL;
}

const struct builtin *find_builtin(const char *name) {
    const struct builtin *found = find_in(builtins, name);
    return found ? found : find_in(job_builtins, name);
}
