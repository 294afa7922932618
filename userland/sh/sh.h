/* The shell, from text to processes. Read the files in this order:
 *
 *     text.c       memory that is released all at once, and strings that grow
 *     lex.c        from characters to tokens
 *     parse.c      from tokens to a tree
 *     variables.c  variables and positional parameters
 *     expand.c     from a word of the tree to the words of a command: $x $(..) quotes
 *     arithmetic.c $((..))
 *     glob.c       from patterns to the names of files
 *     redirect.c   < > >> << and undoing them
 *     execute.c    executing the tree
 *     jobs.c       the processes of a pipeline: waiting, and the terminal's owner
 *     trap.c       signals
 *     builtins.c   commands that must be part of the shell, and builtin_jobs.c those about jobs
 *     main.c       where the text comes from
 *
 * The grammar is that of POSIX.1-2017, Shell & Utilities, 2.10, without aliases. */
#ifndef SH_H
#define SH_H

#include <setjmp.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- text.c -------------------------------------------------------------------------- */

struct mark {
    size_t chunk, used;
};

void *take(size_t bytes); /* zeroed; only release() frees it */
char *take_text(const char *text, size_t length);
struct mark mark(void);
void release(struct mark mark); /* free all that was taken since */
void keep(void);                /* all memory taken so far stays */

struct text {
    char *bytes; /* ends with a zero, once anything was added */
    size_t length, room;
};

void add(struct text *text, char c);
void add_all(struct text *text, const char *more);

/* ---- lex.c --------------------------------------------------------------------------- */

enum token { /* operators of one character stand for themselves */
             T_END = 256,
             T_WORD,
             T_AND,
             T_OR,
             T_DOUBLE_SEMI,
             T_APPEND,
             T_HERE,
             T_HERE_TABS,
             T_DUP_IN,
             T_DUP_OUT,
             T_BOTH,
             T_CLOBBER,
}; /* clang-format off */

struct redirect {
    struct redirect *next;
    int kind; /* the token */
    int fd;
    char *word; /* the file; of a here-document, its text */
    int quoted; /* no expansion in the here-document */
};

struct parser {
    const char *at;      /* the text not yet read */
    const char *start;   /* where the current token begins, */
    const char *end;     /* and where the one before it ended */
    int token;
    char *word;          /* of T_WORD, as it was written */
    int number;          /* digits in front of < or >; -1 if there were none */
    struct redirect *awaited[8]; /* here-documents whose text comes after this line */
    int awaited_count;
    jmp_buf *out;        /* where to jump at a syntax error, with one of: */
};
enum { INCOMPLETE = 1, WRONG = 2 };

void next_token(struct parser *p);
_Noreturn void not_expected(struct parser *p);
const char *skip_substitution(struct parser *p, const char *at); /* behind $( up to after ) */
const char *skip_quoted(struct parser *p, const char *at);       /* over one character or $.. */

/* ---- parse.c ------------------------------------------------------------------------- */

struct word {
    struct word *next;
    char *text;
};

struct branch { /* of case */
    struct branch *next;
    struct word *patterns;
    struct node *body;
};

enum kind {
    COMMAND, PIPELINE, NOT, AND, OR, SEQUENCE, BACKGROUND, SUBSHELL, GROUP, IF, WHILE, UNTIL,
    FOR, CASE, FUNCTION,
};

struct node {
    enum kind kind;
    struct node *left, *right, *third; /* if: condition, then, else; loops: condition, body */
    struct node *next;                 /* in a pipeline */
    struct word *words, *assignments;
    struct redirect *redirects;
    struct branch *branches;
    char *name;   /* of a function, or of the variable of for */
    int has_list; /* for: was there an "in"? */
    char *source; /* as it was written */
};

struct node *parse_line(struct parser *p); /* up to a newline; NULL for an empty line */
struct node *parse_list(struct parser *p);

/* ---- variables.c --------------------------------------------------------------------- */

struct parameters {
    int count;
    char **values;
};

extern struct parameters parameters; /* $1 $2 ... */
extern char *shell_name;             /* $0 */

const char *get(const char *name); /* NULL if it is not set */
void set(const char *name, const char *value);
void unset(const char *name);
void export_variable(const char *name);
void make_readonly(const char *name);
void print_variables(const char *prefix, int which);
enum { ALL = 0, EXPORTED = 1, READONLY = 2 };
void take_environment(void);
size_t name_length(const char *text); /* of the name at the beginning; 0 if there is none */
char *assignment_value(const char *text); /* behind the = of NAME=value; NULL if it is none */

struct saved; /* a variable's value before a function or a command changed it */
struct saved *save(struct saved *list, const char *name);
void restore(struct saved *list);

/* ---- expand.c, arithmetic.c, glob.c -------------------------------------------------- */

char **expand_words(struct word *words, int *count);
char *expand_text(const char *word);     /* one string, without quotes */
char *expand_pattern(const char *word);  /* one string, quoted characters behind a \ */
char *expand_document(const char *text); /* of a here-document */
char *quoted(const char *text);          /* in '' if the shell could not read it back otherwise */
char *without_escapes(const char *pattern);
long arithmetic(const char *expression);
int has_wildcard(const char *pattern);
char **glob(const char *pattern, size_t *count); /* sorted; nothing if nothing matches */

/* ---- redirect.c ---------------------------------------------------------------------- */

enum { FIRST_OWN_FD = 10 }; /* the shell keeps its own descriptors from here on */

struct undo {
    int fd, copy; /* copy: of the old descriptor, or -1 if it was closed */
};

struct undone {
    struct undo steps[16];
    int count;
};

int redirect(struct redirect *redirects, struct undone *undone); /* NULL: permanent; 0 if done */
void undo(struct undone *undone);

/* ---- execute.c ----------------------------------------------------------------------- */

enum { LAST = 1, TESTED = 2 }; /* nothing follows in this process; the status is tested */
enum { NO_SKIP, SKIP_BREAK, SKIP_CONTINUE, SKIP_RETURN };

extern int status;       /* $? */
extern int skipping, skip_levels;
extern int loop_depth, function_depth;
extern pid_t shell_pid;  /* $$, in subshells too */
extern pid_t last_background; /* $! */
extern int interactive, in_subshell;
extern struct saved *locals; /* of the function that runs */

struct options {
    int errexit, nounset, xtrace, noglob, verbose, noexec, monitor;
};
extern struct options options;
int *option(char letter); /* NULL if there is none */

int run(struct node *node, int flags);
int run_text(const char *text, int flags);
int run_file(const char *path, int must_exist);
char *command_output(const char *text);
char *find_program(const char *name);
void forget_function(const char *name);
int is_function(const char *name);
_Noreturn void exec_program(char **arguments);
_Noreturn void abandon(void); /* in an interactive shell, after ^C */
_Noreturn void fail(int status, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* ---- jobs.c -------------------------------------------------------------------------- */

enum { JOB_PROCESSES = 16 };
enum state { RUNNING, STOPPED, DONE };

struct job {
    int number; /* 0: free */
    pid_t group;
    int count;
    struct {
        pid_t pid;
        int status;
        enum state state;
    } processes[JOB_PROCESSES];
    int background;
    int changed; /* and not yet reported to the user */
    char *source;
};

struct job *new_job(const char *source);
void forget_job(struct job *job);
pid_t start(struct job *job, int background); /* fork a process of the job */
int wait_for(struct job *job);                /* in the foreground; its status */
int wait_in_background(struct job *job);      /* 128 + n when a signal ends the waiting */
int collect(int block); /* take one change; 0: there is none, -1: a signal came */
void tell_changes(void);
void print_job(struct job *job);
void continue_job(struct job *job, int background);
void own_terminal(void);
void take_terminal(void);
struct job *find_job(const char *name); /* %1 %+ %% or NULL for the current one */
struct job *job_of(pid_t pid);
struct job *job_after(struct job *job); /* the first, for NULL */
enum state job_state(struct job *job);
int job_status(struct job *job);

/* ---- trap.c -------------------------------------------------------------------------- */

void set_trap(int signal, const char *action); /* NULL: default; "": ignore */
void print_traps(void);
void clear_traps(void); /* in a subshell */
void default_signals(void); /* in a child of an interactive shell */
void run_traps(void);   /* of the signals that have come */
int has_traps(void);
int pending_signal(void); /* 0, or the number of one that has a trap */
void set_up_signals(void);
int signal_number(const char *name); /* -1 if there is none; EXIT is 0 */
int interrupted(void); /* has ^C been typed since the last time? */
_Noreturn void leave(int status); /* by way of the EXIT trap */

/* ---- builtins.c ---------------------------------------------------------------------- */

struct builtin {
    const char *name;
    int (*run)(int argc, char **argv);
    int special; /* assignments in front of it stay */
};

extern const struct builtin builtins[], job_builtins[];
const struct builtin *find_builtin(const char *name);
int echo_main(int argc, char **argv);
int printf_main(int argc, char **argv);
int test_main(int argc, char **argv);

#endif
