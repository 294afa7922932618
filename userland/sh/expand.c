/* From a word as written to the words of a command: parameters, substitutions, arithmetic, then
 * splitting into fields, names of files, and removal of quotes. (POSIX, 2.6)
 *
 * During the expansion of a word, every quoted character stands behind a backslash. So patterns
 * can be matched as they are, and without_escapes() removes all quotes at once. */

#include "sh.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct expansion {
    struct text field; /* the one being made */
    struct word *fields, **end;
    int splits;      /* are there to be fields? */
    int in_quotes;   /* are we between double quotes? */
    int was_quoted;  /* does the field exist even when it is empty? */
    int nested;      /* are we in the word of ${name:-word}? */
    int nothing_at;  /* "$@" without parameters makes no field */
    int after_space; /* white space ended the last field */
};

static void expand(struct expansion *e, const char *at, const char *end);

/* ---- Fields -------------------------------------------------------------------------- */

static void add_quoted(struct expansion *e, char c) {
    add(&e->field, '\\');
    add(&e->field, c);
}

static void end_field(struct expansion *e) {
    struct word *word = take(sizeof *word);
    word->text = e->field.bytes ? e->field.bytes : "";
    *e->end = word;
    e->end = &word->next;
    e->field = (struct text){0};
    e->was_quoted = e->nothing_at = 0;
}

static int has_field(struct expansion *e) {
    return e->field.length > 0 || (e->was_quoted && !e->nothing_at);
}

/* A result outside quotes: characters of IFS separate fields; white space counts once. */
static void add_split(struct expansion *e, char c, const char *ifs) {
    if (!strchr(ifs, c)) {
        e->after_space = 0;
        if (c == '\\') add(&e->field, '\\');
        add(&e->field, c);
    } else if (isspace(c)) {
        if (has_field(e)) end_field(e), e->after_space = 1;
    } else if (e->after_space) {
        e->after_space = 0;
    } else {
        end_field(e);
    }
}

static void add_value(struct expansion *e, const char *value) {
    const char *ifs = get("IFS");
    if (!ifs) ifs = " \t\n";
    for (; *value; value++) {
        if (e->in_quotes)
            add_quoted(e, *value);
        else if (e->splits)
            add_split(e, *value, ifs);
        else {
            if (*value == '\\') add(&e->field, '\\');
            add(&e->field, *value);
        }
    }
}

/* $@ and $*: one field each. "$*", and any place without fields: one string, with IFS between. */
static void add_parameters(struct expansion *e, char which) {
    const char *ifs = get("IFS");
    char separator = !ifs ? ' ' : *ifs;
    if (which == '@' && e->in_quotes && parameters.count == 0) e->nothing_at = 1;
    for (int i = 0; i < parameters.count; i++) {
        int joined = !e->splits || (which == '*' && e->in_quotes);
        if (i > 0 && joined && (separator || which == '@'))
            add_quoted(e, which == '@' ? ' ' : separator);
        if (i > 0 && !joined && (e->in_quotes || has_field(e))) end_field(e);
        if (e->in_quotes) e->was_quoted = 1;
        add_value(e, parameters.values[i]);
    }
}

/* ---- Parameters ---------------------------------------------------------------------- */

/* The value of a special parameter, or of a variable; NULL if it is not set. */
static const char *value_of(const char *name) {
    char *number = take(24);
    switch (*name) {
    case '?': snprintf(number, 24, "%d", status); return number;
    case '$': snprintf(number, 24, "%d", shell_pid); return number;
    case '#': snprintf(number, 24, "%d", parameters.count); return number;
    case '!': snprintf(number, 24, "%d", last_background); return last_background ? number : NULL;
    case '@':
    case '*': return parameters.count ? "" : NULL;
    case '-': {
        struct text set_options = {0};
        for (const char *letter = "efnuvxm"; *letter; letter++)
            if (*option(*letter)) add(&set_options, *letter);
        if (interactive) add(&set_options, 'i');
        return set_options.bytes ? set_options.bytes : "";
    }
    }
    if (!isdigit(*name)) return get(name);
    int index = atoi(name);
    return index == 0                  ? shell_name
           : index <= parameters.count ? parameters.values[index - 1]
                                       : NULL;
}

static size_t parameter_length(const char *at) {
    if (isdigit(*at)) return strspn(at, "0123456789");
    return *at && strchr("?$#!@*-", *at) ? 1 : name_length(at);
}

static void add_parameter(struct expansion *e, const char *name) {
    if (*name == '@' || *name == '*') {
        add_parameters(e, *name);
        return;
    }
    const char *value = value_of(name);
    if (!value && options.nounset) fail(2, "%s: parameter not set", name);
    if (value) add_value(e, value);
}

/* The value without the part at its beginning or end that matches: the shortest or longest. */
static const char *trimmed(const char *value, const char *pattern, char side, int longest) {
    size_t length = strlen(value);
    for (size_t i = 0; i <= length; i++) {
        size_t cut = longest == (side == '#') ? length - i : i;
        if (side == '%' && !fnmatch(pattern, value + cut, 0)) return take_text(value, cut);
        if (side == '#' && !fnmatch(pattern, take_text(value, cut), 0)) return value + cut;
    }
    return value;
}

static char *text_between(const char *at, const char *end) {
    return take_text(at, (size_t)(end - at));
}

/* ${name:-word} and its like; `at` is behind the name, `end` at the closing brace. */
static void add_operation(struct expansion *e, const char *name, const char *at, const char *end) {
    const char *value = value_of(name);
    if (*at == '#' || *at == '%') {
        int longest = at[1] == *at;
        const char *pattern = expand_pattern(text_between(at + 1 + longest, end));
        if (!value && options.nounset) fail(2, "%s: parameter not set", name);
        if (value) add_value(e, trimmed(value, pattern, *at, longest));
        return;
    }
    int counts_empty = *at == ':';
    int is_set = value && !(counts_empty && !*value && !strchr("@*", *name));
    at += counts_empty;
    char operator = *at++;
    if (operator == '+' ? is_set : !is_set && operator == '-') {
        e->nested++;
        expand(e, at, end);
        e->nested--;
    } else if (operator != '+' && is_set)
        add_parameter(e, name);
    else if (operator == '=') {
        set(name, expand_text(text_between(at, end)));
        add_value(e, get(name));
    } else if (operator == '?') {
        const char *message = at < end ? expand_text(text_between(at, end)) : "parameter not set";
        fail(2, "%s: %s", name, message);
    }
}

static _Noreturn void bad_substitution(const char *at, const char *end) {
    fail(2, "${%s}: bad substitution", text_between(at, end));
}

/* The part between ${ and }. */
static void add_braces(struct expansion *e, const char *at, const char *end) {
    if (*at == '#' && at + 1 < end && parameter_length(at + 1) == (size_t)(end - at - 1)) {
        const char *name = text_between(at + 1, end), *value = value_of(name);
        char number[24];
        size_t length = value ? strlen(value) : 0;
        if (*name == '@' || *name == '*') length = (size_t)parameters.count;
        snprintf(number, sizeof number, "%zu", length);
        add_value(e, number);
        return;
    }
    size_t length = parameter_length(at);
    if (length == 0) bad_substitution(at, end);
    const char *name = take_text(at, length), *rest = at + length;
    if (rest == end)
        add_parameter(e, name);
    else if (strchr("-=?+#%", rest[*rest == ':']))
        add_operation(e, name, rest, end);
    else
        bad_substitution(at, end);
}

/* ---- Substitutions ------------------------------------------------------------------- */

static char *unescaped_backquotes(const char *at, const char *end) {
    struct text text = {0};
    for (; at < end; at++) {
        if (*at == '\\' && strchr("$`\\", at[1])) at++;
        add(&text, *at);
    }
    return text.bytes ? text.bytes : "";
}

static void add_arithmetic(struct expansion *e, const char *at, const char *end) {
    char number[24];
    snprintf(number, sizeof number, "%ld", arithmetic(expand_document(text_between(at, end))));
    add_value(e, number);
}

/* Expand at a dollar; returns the end of the expansion. */
static const char *add_dollar(struct expansion *e, const char *at, struct parser *p) {
    size_t length = isdigit(at[1]) ? 1 : parameter_length(at + 1);
    const char *end = length ? at + 1 + length : skip_quoted(p, at);
    if (length)
        add_parameter(e, take_text(at + 1, length));
    else if (at[1] == '{')
        add_braces(e, at + 2, end - 1);
    else if (at[1] == '(' && at[2] == '(')
        add_arithmetic(e, at + 3, end - 2);
    else if (at[1] == '(')
        add_value(e, command_output(text_between(at + 2, end - 1)));
    else if (e->in_quotes)
        add_quoted(e, '$');
    else
        add(&e->field, '$');
    return end;
}

/* ---- Words --------------------------------------------------------------------------- */

static const char *expand_one(struct expansion *e, const char *at, struct parser *p) {
    if (*at == '$') return add_dollar(e, at, p);
    if (*at == '`') {
        const char *end = skip_quoted(p, at);
        add_value(e, command_output(unescaped_backquotes(at + 1, end - 1)));
        return end;
    }
    if (*at == '\\' && at[1] == '\n') return at + 2;
    if (*at == '\\' && at[1] && (!e->in_quotes || strchr("$`\"\\", at[1]))) {
        add_quoted(e, at[1]);
        e->was_quoted = 1;
        return at + 2;
    }
    if (e->in_quotes || *at == '\\')
        add_quoted(e, *at);
    else if (e->nested)
        add_value(e, (char[2]){*at});
    else
        add(&e->field, *at);
    return at + 1;
}

static const char *expand_single_quotes(struct expansion *e, const char *at) {
    e->was_quoted = 1;
    for (at++; *at != '\''; at++) add_quoted(e, *at);
    return at + 1;
}

static void expand(struct expansion *e, const char *at, const char *end) {
    jmp_buf out;
    struct parser p = {.out = &out};
    if (setjmp(out)) fail(2, "bad substitution");
    while (at < end) {
        if (*at == '"') {
            e->in_quotes = !e->in_quotes;
            e->was_quoted = 1;
            at++;
        } else if (*at == '\'' && !e->in_quotes) {
            at = expand_single_quotes(e, at);
        } else {
            at = expand_one(e, at, &p);
        }
    }
}

/* ~ and ~/.. at the beginning are the home folder. */
static const char *expand_tilde(struct expansion *e, const char *at) {
    const char *home = get("HOME");
    if (at[0] != '~' || (at[1] && at[1] != '/') || !home) return at;
    while (*home) add_quoted(e, *home++);
    return at + 1;
}

static char *expand_whole(const char *word) {
    struct expansion e = {.end = &e.fields};
    const char *at = expand_tilde(&e, word);
    expand(&e, at, at + strlen(at));
    return e.field.bytes ? e.field.bytes : "";
}

char *expand_pattern(const char *word) { return expand_whole(word); }
char *expand_text(const char *word) { return without_escapes(expand_whole(word)); }

/* Quotes mean nothing here, and all is as if between double ones. */
char *expand_document(const char *text) {
    struct expansion e = {.end = &e.fields, .in_quotes = 1};
    jmp_buf out;
    struct parser p = {.out = &out};
    if (setjmp(out)) fail(2, "bad substitution in a here-document");
    while (*text) {
        if (text[0] == '\\' && text[1] == '"') add_quoted(&e, *text++);
        text = expand_one(&e, text, &p);
    }
    return without_escapes(e.field.bytes ? e.field.bytes : "");
}

char *without_escapes(const char *pattern) {
    char *text = take(strlen(pattern) + 1), *to = text;
    for (; *pattern; pattern++) {
        if (*pattern == '\\' && pattern[1]) pattern++;
        *to++ = *pattern;
    }
    return text;
}

static struct word *fields_of(const char *word) {
    struct expansion e = {.end = &e.fields, .splits = 1};
    const char *at = expand_tilde(&e, word);
    expand(&e, at, at + strlen(at));
    if (has_field(&e)) end_field(&e);
    return e.fields;
}

char **expand_words(struct word *words, int *count) {
    size_t room = 16, used = 0;
    char **row = take(room * sizeof *row);
    for (; words; words = words->next)
        for (struct word *field = fields_of(words->text); field; field = field->next) {
            size_t found = 0;
            char *plain = NULL, **names = NULL;
            if (!options.noglob && has_wildcard(field->text)) names = glob(field->text, &found);
            if (!found) plain = without_escapes(field->text), names = &plain, found = 1;
            if (used + found + 1 > room) {
                char **larger = take((room = 2 * (used + found + 1)) * sizeof *row);
                row = memcpy(larger, row, used * sizeof *row);
            }
            memcpy(row + used, names, found * sizeof *row);
            used += found;
        }
    row[used] = NULL;
    *count = (int)used;
    return row;
}

char *quoted(const char *text) {
    struct text out = {0};
    if (*text && !strpbrk(text, " \t\n|&;<>()$`\\\"'*?[#~=%!{}"))
        return take_text(text, strlen(text));
    add(&out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            add_all(&out, "'\\''");
        else
            add(&out, *text);
    }
    add(&out, '\'');
    return out.bytes;
}
