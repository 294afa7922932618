/* Memory for trees and words, and strings that grow.
 *
 * A command takes memory piece by piece, and the shell releases all of it after the command. A
 * function's tree must stay: keep() raises the mark below which nothing is released. */

#include "sh.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16 * 1024, MOST_CHUNKS = 4096 };

static char *chunks[MOST_CHUNKS];
static size_t sizes[MOST_CHUNKS];
static struct mark top, floor_mark;

void *take(size_t bytes) {
    bytes = (bytes + 15) & ~15ul;
    while (!chunks[top.chunk] || top.used + bytes > sizes[top.chunk]) {
        if (chunks[top.chunk]) top.chunk++, top.used = 0;
        if (top.chunk == MOST_CHUNKS) abort();
        if (chunks[top.chunk]) continue;
        sizes[top.chunk] = bytes > CHUNK ? bytes : CHUNK;
        chunks[top.chunk] = malloc(sizes[top.chunk]);
        if (!chunks[top.chunk]) abort();
    }
    char *memory = chunks[top.chunk] + top.used;
    top.used += bytes;
    return memset(memory, 0, bytes);
}

char *take_text(const char *text, size_t length) { return memcpy(take(length + 1), text, length); }

struct mark mark(void) { return top; }

static int below(struct mark a, struct mark b) {
    return a.chunk < b.chunk || (a.chunk == b.chunk && a.used < b.used);
}

void release(struct mark mark) { top = below(mark, floor_mark) ? floor_mark : mark; }
void keep(void) { floor_mark = top; }

void add(struct text *text, char c) {
    if (text->length + 1 >= text->room) {
        size_t room = text->room ? 2 * text->room : 32;
        char *bytes = take(room);
        if (text->length) memcpy(bytes, text->bytes, text->length);
        text->bytes = bytes;
        text->room = room;
    }
    text->bytes[text->length++] = c;
    text->bytes[text->length] = '\0';
}

void add_all(struct text *text, const char *more) {
    while (*more) add(text, *more++);
}
