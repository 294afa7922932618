/* Matching names against patterns. */

#include <fnmatch.h>
#include <string.h>

/* Is `c` in the set that begins behind '['? Sets *end behind its ']'; NULL if there is none. */
static int in_set(const char *set, char c, int escapes, const char **end) {
    int negated = *set == '!' || *set == '^', found = 0;
    const char *at = set + negated, *first = at;
    for (; *at && (*at != ']' || at == first); at++) {
        if (*at == '\\' && escapes && at[1]) at++;
        char low = *at, high = low;
        if (at[1] == '-' && at[2] && at[2] != ']') high = at[2], at += 2;
        found |= low <= c && c <= high;
    }
    *end = *at ? at + 1 : NULL;
    return found != negated;
}

static int hidden(const char *text, const char *start, int flags) {
    int first = text == start || (flags & FNM_PATHNAME && text[-1] == '/');
    return *text == '.' && first && flags & FNM_PERIOD;
}

static int match(const char *pattern, const char *text, const char *start, int flags) {
    for (; *pattern; pattern++, text++) {
        int wild = *pattern == '*' || *pattern == '?' || *pattern == '[';
        if (wild && hidden(text, start, flags)) return 0;
        if (*pattern == '*') {
            while (*pattern == '*') pattern++;
            for (;; text++) {
                if (match(pattern, text, start, flags)) return 1;
                if (!*text || (*text == '/' && flags & FNM_PATHNAME)) return 0;
            }
        }
        if (!*text || (wild && *text == '/' && flags & FNM_PATHNAME)) return 0;
        if (*pattern == '?') continue;
        const char *end = NULL;
        if (*pattern == '[') {
            int found = in_set(pattern + 1, *text, !(flags & FNM_NOESCAPE), &end);
            if (end && !found) return 0;
            if (end) pattern = end - 1;
        }
        if (end) continue;
        if (*pattern == '\\' && !(flags & FNM_NOESCAPE) && pattern[1]) pattern++;
        if (*pattern != *text) return 0;
    }
    return !*text;
}

int fnmatch(const char *pattern, const char *text, int flags) {
    return match(pattern, text, text, flags) ? 0 : FNM_NOMATCH;
}
