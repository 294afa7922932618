/* The tree, by recursive descent: one function for each rule of the grammar. */

#include "sh.h"

#include <stdio.h>
#include <string.h>

static struct node *parse_and_or(struct parser *p);

static struct node *new_node(enum kind kind, struct node *left, struct node *right) {
    struct node *node = take(sizeof *node);
    node->kind = kind;
    node->left = left;
    node->right = right;
    return node;
}

_Noreturn void not_expected(struct parser *p) {
    if (p->token == T_END) longjmp(*p->out, INCOMPLETE);
    size_t length = (size_t)(p->at - p->start);
    if (p->token == '\n')
        fprintf(stderr, "%s: syntax error: newline unexpected\n", shell_name);
    else
        fprintf(stderr, "%s: syntax error: \"%.*s\" unexpected\n", shell_name, (int)length,
                p->start);
    longjmp(*p->out, WRONG);
}

static int is_word(struct parser *p, const char *word) {
    return p->token == T_WORD && strcmp(p->word, word) == 0;
}

static int accept(struct parser *p, const char *word) {
    if (!is_word(p, word)) return 0;
    next_token(p);
    return 1;
}

static void expect(struct parser *p, const char *word) {
    if (!accept(p, word)) not_expected(p);
}

static void skip_newlines(struct parser *p) {
    while (p->token == '\n') next_token(p);
}

static char *expect_word(struct parser *p) {
    if (p->token != T_WORD) not_expected(p);
    char *word = p->word;
    next_token(p);
    return word;
}

/* ---- Lists --------------------------------------------------------------------------- */

/* Words that end a list, where a command could begin. */
static int ends_list(struct parser *p) {
    static const char *const words[] = {"then", "else", "elif", "fi", "do", "done", "esac", "}"};
    if (p->token == T_END || p->token == ')' || p->token == T_DOUBLE_SEMI) return 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(p, words[i])) return 1;
    return 0;
}

static struct node *join(struct node *list, struct node *more) {
    return list ? new_node(SEQUENCE, list, more) : more;
}

/* One and-or list, and what separates it from the next. */
static struct node *parse_item(struct parser *p) {
    struct node *item = parse_and_or(p);
    if (p->token == '&') {
        struct node *background = new_node(BACKGROUND, item, NULL);
        background->source = item->source;
        item = background;
    }
    if (p->token == ';' || p->token == '&')
        next_token(p);
    else if (p->token != '\n' && !ends_list(p))
        not_expected(p);
    return item;
}

struct node *parse_list(struct parser *p) {
    struct node *list = NULL;
    skip_newlines(p);
    while (!ends_list(p)) {
        list = join(list, parse_item(p));
        skip_newlines(p);
    }
    return list;
}

struct node *parse_line(struct parser *p) {
    struct node *list = NULL;
    next_token(p);
    while (p->token != '\n' && p->token != T_END) {
        if (ends_list(p)) not_expected(p);
        list = join(list, parse_item(p));
    }
    return list;
}

/* A list that must not be empty. */
static struct node *parse_body(struct parser *p) {
    struct node *body = parse_list(p);
    if (!body) not_expected(p);
    return body;
}

/* ---- Compound commands --------------------------------------------------------------- */

static struct node *parse_if(struct parser *p) {
    struct node *node = new_node(IF, parse_body(p), NULL);
    expect(p, "then");
    node->right = parse_body(p);
    if (accept(p, "elif")) {
        node->third = parse_if(p);
        return node;
    }
    if (accept(p, "else")) node->third = parse_body(p);
    expect(p, "fi");
    return node;
}

static struct node *parse_do(struct parser *p) {
    expect(p, "do");
    struct node *body = parse_body(p);
    expect(p, "done");
    return body;
}

static struct node *parse_while(struct parser *p, enum kind kind) {
    struct node *condition = parse_body(p);
    return new_node(kind, condition, parse_do(p));
}

static struct word **append(struct word **end, char *text) {
    *end = take(sizeof **end);
    (*end)->text = text;
    return &(*end)->next;
}

static struct node *parse_for(struct parser *p) {
    struct node *node = new_node(FOR, NULL, NULL);
    node->name = expect_word(p);
    if (name_length(node->name) != strlen(node->name)) {
        fprintf(stderr, "%s: %s: bad for loop variable\n", shell_name, node->name);
        longjmp(*p->out, WRONG);
    }
    skip_newlines(p);
    struct word **end = &node->words;
    node->has_list = accept(p, "in");
    while (node->has_list && p->token == T_WORD) {
        end = append(end, p->word);
        next_token(p);
    }
    if (p->token == ';') next_token(p);
    skip_newlines(p);
    node->right = parse_do(p);
    return node;
}

static struct branch *parse_branch(struct parser *p) {
    struct branch *branch = take(sizeof *branch);
    struct word **end = &branch->patterns;
    if (p->token == '(') next_token(p);
    end = append(end, expect_word(p));
    while (p->token == '|') {
        next_token(p);
        end = append(end, expect_word(p));
    }
    if (p->token != ')') not_expected(p);
    next_token(p);
    branch->body = parse_list(p);
    if (p->token == T_DOUBLE_SEMI)
        next_token(p);
    else if (!is_word(p, "esac"))
        not_expected(p);
    skip_newlines(p);
    return branch;
}

static struct node *parse_case(struct parser *p) {
    struct node *node = new_node(CASE, NULL, NULL);
    append(&node->words, expect_word(p));
    skip_newlines(p);
    expect(p, "in");
    skip_newlines(p);
    for (struct branch **end = &node->branches; !accept(p, "esac"); end = &(*end)->next)
        *end = parse_branch(p);
    return node;
}

static struct node *parse_parentheses(struct parser *p) {
    next_token(p);
    struct node *node = new_node(SUBSHELL, parse_body(p), NULL);
    if (p->token != ')') not_expected(p);
    next_token(p);
    return node;
}

static struct node *parse_braces(struct parser *p) {
    struct node *node = new_node(GROUP, parse_body(p), NULL);
    expect(p, "}");
    return node;
}

/* NULL if no compound command begins here. */
static struct node *parse_compound(struct parser *p) {
    if (p->token == '(') return parse_parentheses(p);
    if (accept(p, "{")) return parse_braces(p);
    if (accept(p, "if")) return parse_if(p);
    if (accept(p, "while")) return parse_while(p, WHILE);
    if (accept(p, "until")) return parse_while(p, UNTIL);
    if (accept(p, "for")) return parse_for(p);
    if (accept(p, "case")) return parse_case(p);
    return NULL;
}

/* ---- Commands ------------------------------------------------------------------------ */

static int is_redirect(int token) {
    return token == '<' || token == '>' || (token >= T_APPEND && token <= T_CLOBBER);
}

static struct redirect *parse_redirect(struct parser *p) {
    struct redirect *redirect = take(sizeof *redirect);
    redirect->kind = p->token;
    int reads = p->token == '<' || p->token == T_HERE || p->token == T_HERE_TABS ||
                p->token == T_DUP_IN || p->token == T_BOTH;
    redirect->fd = p->number >= 0 ? p->number : !reads;
    next_token(p);
    if (p->token != T_WORD) not_expected(p);
    redirect->word = p->word;
    int is_document = redirect->kind == T_HERE || redirect->kind == T_HERE_TABS;
    int room = sizeof p->awaited / sizeof *p->awaited;
    if (is_document && p->awaited_count == room) not_expected(p);
    if (is_document) p->awaited[p->awaited_count++] = redirect;
    next_token(p);
    return redirect;
}

static void parse_redirects(struct parser *p, struct node *node) {
    struct redirect **end = &node->redirects;
    while (*end) end = &(*end)->next;
    for (; is_redirect(p->token); end = &(*end)->next) *end = parse_redirect(p);
}

static struct node *parse_function(struct parser *p, struct node *node) {
    next_token(p);
    if (p->token != ')' || node->words->next || node->assignments) not_expected(p);
    next_token(p);
    skip_newlines(p);
    node->kind = FUNCTION;
    node->name = node->words->text;
    node->left = parse_compound(p);
    if (!node->left) not_expected(p);
    parse_redirects(p, node->left);
    return node;
}

static struct node *parse_simple(struct parser *p) {
    struct node *node = new_node(COMMAND, NULL, NULL);
    struct word **words = &node->words, **assignments = &node->assignments;
    if (ends_list(p)) not_expected(p);
    for (;;) {
        if (is_redirect(p->token)) {
            parse_redirects(p, node);
        } else if (p->token == T_WORD) {
            if (!node->words && assignment_value(p->word))
                assignments = append(assignments, p->word);
            else
                words = append(words, p->word);
            next_token(p);
        } else if (p->token == '(' && node->words) {
            return parse_function(p, node);
        } else {
            break;
        }
    }
    if (!node->words && !node->assignments && !node->redirects) not_expected(p);
    return node;
}

static struct node *parse_command(struct parser *p) {
    struct node *node = parse_compound(p);
    if (!node) return parse_simple(p);
    parse_redirects(p, node);
    return node;
}

static struct node *parse_pipeline(struct parser *p) {
    const char *start = p->start;
    int negated = 0;
    for (; accept(p, "!"); negated = !negated);
    struct node *first = parse_command(p), *pipeline = first;
    for (struct node *last = first; p->token == '|'; last = last->next) {
        next_token(p);
        skip_newlines(p);
        last->next = parse_command(p);
        if (pipeline == first) pipeline = new_node(PIPELINE, first, NULL);
    }
    pipeline->source = take_text(start, (size_t)(p->end - start));
    return negated ? new_node(NOT, pipeline, NULL) : pipeline;
}

static struct node *parse_and_or(struct parser *p) {
    const char *start = p->start;
    struct node *node = parse_pipeline(p);
    while (p->token == T_AND || p->token == T_OR) {
        enum kind kind = p->token == T_AND ? AND : OR;
        next_token(p);
        skip_newlines(p);
        node = new_node(kind, node, parse_pipeline(p));
    }
    if (!node->source) node->source = take_text(start, (size_t)(p->end - start));
    return node;
}
