/* xargs: run a command (echo) with the words of standard input as arguments. -n N: at most N at a
 * time; -0: words end with a zero; -I X: one line at a time, in place of X in the command. */

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 512 };

static char *command[MOST + 1];
static int fixed, used; /* words of the command alone, and with the words read */
static int ends_with_zero, result;
static const char *place; /* of -I */

static void run(char **words) {
    pid_t pid = fork();
    int status;
    if (pid < 0) err(1, "fork");
    if (pid == 0) {
        execvp(words[0], words);
        warn("%s", words[0]);
        _exit(errno == ENOENT ? 127 : 126);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    result = WIFEXITED(status) && WEXITSTATUS(status) < 126 ? 123
             : WIFEXITED(status)                            ? WEXITSTATUS(status)
                                                            : 125;
}

/* A word; with -I a line. NULL at the end. Quotes and backslashes keep blanks together. */
static char *next_word(void) {
    char *word = NULL, quote = 0;
    size_t length = 0, room = 0;
    int c;
    if (ends_with_zero) return getdelim(&word, &room, '\0', stdin) < 0 ? NULL : word;
    while ((c = getchar()) != EOF && isspace(c));
    for (; c != EOF && (quote || c != '\n') && (quote || place || !isspace(c)); c = getchar()) {
        if (length + 2 > room && !(word = realloc(word, room = 2 * room + 64))) err(1, "memory");
        if (quote && c == quote)
            quote = 0;
        else if (!quote && (c == '\'' || c == '"'))
            quote = (char)c;
        else {
            if (!quote && c == '\\') c = getchar();
            word[length++] = (char)c;
        }
    }
    if (word) word[length] = '\0';
    return word;
}

static char *replaced(const char *text, const char *word) {
    size_t room = strlen(text) + 1;
    for (const char *at = text; (at = strstr(at, place)); at += strlen(place)) room += strlen(word);
    char *out = calloc(room, 1);
    for (const char *at; (at = strstr(text, place)); text = at + strlen(place)) {
        strncpy(out + strlen(out), text, (size_t)(at - text));
        strcat(out, word);
    }
    return strcat(out, text);
}

static void run_in_place(const char *word) {
    char *words[MOST + 1] = {0};
    for (int i = 0; i < fixed; i++) words[i] = replaced(command[i], word);
    run(words);
}

static void run_collected(void) {
    command[used] = NULL;
    run(command);
    while (used > fixed) free(command[--used]);
}

int main(int argc, char **argv) {
    int at_most = MOST;
    for (int letter; (letter = getopt(argc, argv, "n:0I:r")) != -1;) switch (letter) {
        case 'n': at_most = atoi(optarg); break;
        case '0': ends_with_zero = 1; break;
        case 'I': place = optarg; break;
        case 'r': break;
        default: return 2;
        }
    if (at_most < 1) errx(2, "-n takes 1 or more");
    for (int i = optind; i < argc && fixed < MOST / 2; i++) command[fixed++] = argv[i];
    if (!fixed) command[fixed++] = "echo";
    used = fixed;
    for (char *word; (word = next_word());) {
        if (place)
            run_in_place(word);
        else
            command[used++] = word;
        if (used == MOST || used - fixed == at_most) run_collected();
    }
    if (used > fixed) run_collected();
    return result;
}
