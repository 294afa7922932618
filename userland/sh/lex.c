/* Tokens. A word keeps its quotes and dollars as written; expand.c reads them later. */

#include "sh.h"

#include <ctype.h>
#include <string.h>

static _Noreturn void give_up(struct parser *p, int why) { longjmp(*p->out, why); }

static const char *skip_to(struct parser *p, const char *at, char end) {
    while (*at && *at != end) at = end == '\'' ? at + 1 : skip_quoted(p, at);
    if (!*at) give_up(p, INCOMPLETE);
    return at + 1;
}

/* $(..) ends where its commands end: only the parser can find that place. */
const char *skip_substitution(struct parser *p, const char *at) {
    struct parser inner = {.at = at, .out = p->out};
    next_token(&inner);
    parse_list(&inner);
    if (inner.token == T_END) give_up(p, INCOMPLETE);
    if (inner.token != ')') not_expected(&inner);
    return inner.at;
}

/* $((..)), whose parentheses are balanced. */
static const char *skip_arithmetic(struct parser *p, const char *at) {
    for (int depth = 2; depth > 0;) {
        if (!*at) give_up(p, INCOMPLETE);
        if (*at == '(') depth++;
        if (*at == ')') depth--;
        at = *at == '(' || *at == ')' ? at + 1 : skip_quoted(p, at);
    }
    return at;
}

/* "$((" could also begin a substitution whose first command is in parentheses; here it does not. */
static const char *skip_dollar(struct parser *p, const char *at) {
    if (at[1] == '(')
        return at[2] == '(' ? skip_arithmetic(p, at + 3) : skip_substitution(p, at + 2);
    if (at[1] == '{') return skip_to(p, at + 2, '}');
    return at + 1;
}

const char *skip_quoted(struct parser *p, const char *at) {
    switch (*at) {
    case '\\': return at[1] ? at + 2 : at + 1;
    case '\'': return skip_to(p, at + 1, '\'');
    case '`': return skip_to(p, at + 1, '`');
    case '$': return skip_dollar(p, at);
    case '"':
        for (at++; *at != '"'; at = *at == '\'' ? at + 1 : skip_quoted(p, at))
            if (!*at) give_up(p, INCOMPLETE);
        return at + 1;
    default: return at + 1;
    }
}

static const char *skip_blanks(const char *at) {
    for (;; at++) {
        if (at[0] == '\\' && at[1] == '\n')
            at++;
        else if (*at != ' ' && *at != '\t')
            break;
    }
    if (*at == '#') at += strcspn(at, "\n");
    return at;
}

/* ---- Here-documents ------------------------------------------------------------------ */

/* The lines from p->at on, up to a line that equals `redirect->word`. */
static void read_document(struct parser *p, struct redirect *redirect) {
    redirect->quoted = strpbrk(redirect->word, "\\'\"") != NULL;
    char *end = redirect->quoted ? expand_text(redirect->word) : redirect->word;
    struct text body = {0};
    for (;;) {
        if (!*p->at) give_up(p, INCOMPLETE);
        if (redirect->kind == T_HERE_TABS) p->at += strspn(p->at, "\t");
        size_t length = strcspn(p->at, "\n");
        int is_end = length == strlen(end) && strncmp(p->at, end, length) == 0;
        if (!is_end) add_all(&body, take_text(p->at, length)), add(&body, '\n');
        p->at += length;
        if (*p->at) p->at++;
        if (is_end) break;
    }
    redirect->word = body.bytes ? body.bytes : "";
}

static void read_documents(struct parser *p) {
    int count = p->awaited_count;
    p->awaited_count = 0;
    for (int i = 0; i < count; i++) read_document(p, p->awaited[i]);
}

/* ---- Tokens -------------------------------------------------------------------------- */

static const struct {
    char text[4];
    int token;
} operators[] = {
    {"<<-", T_HERE_TABS}, {"&&", T_AND},     {"||", T_OR},     {";;", T_DOUBLE_SEMI},
    {">>", T_APPEND},     {"<<", T_HERE},    {"<&", T_DUP_IN}, {">&", T_DUP_OUT},
    {"<>", T_BOTH},       {">|", T_CLOBBER},
};

static int operator_at(const char **at) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t length = strlen(operators[i].text);
        if (strncmp(*at, operators[i].text, length) != 0) continue;
        *at += length;
        return operators[i].token;
    }
    return *(*at)++;
}

static void read_word(struct parser *p) {
    const char *at = p->at;
    while (*at && !strchr(" \t\n;&|<>()", *at)) at = skip_quoted(p, at);
    p->token = T_WORD;
    p->word = take_text(p->at, (size_t)(at - p->at));
    p->at = at;
}

/* Digits directly in front of < or > belong to it. */
static void read_number(struct parser *p) {
    const char *at = p->at;
    p->number = -1;
    while (isdigit(*at)) at++;
    if (at == p->at || (*at != '<' && *at != '>')) return;
    p->number = 0;
    for (; p->at < at; p->at++) p->number = p->number * 10 + *p->at - '0';
}

void next_token(struct parser *p) {
    p->end = p->at;
    p->start = p->at = skip_blanks(p->at);
    read_number(p);
    if (!*p->at) {
        if (p->awaited_count) give_up(p, INCOMPLETE);
        p->token = T_END;
    } else if (strchr("\n;&|<>()", *p->at)) {
        p->token = operator_at(&p->at);
        if (p->token == '\n') read_documents(p);
    } else {
        read_word(p);
    }
}
