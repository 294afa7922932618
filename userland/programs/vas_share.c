/* vas_share: one process builds a tree of words in a segment and ends; another one walks it.
 * Shows: pointers are valid in every process, because a segment has the same address everywhere. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

struct node {
    struct node *left, *right;
    char word[16];
};

static char *const place = (char *)0x200000000000;
static const size_t bytes = 64 << 10;
static const char *const words[] = {"many", "address", "spaces", "for",  "one", "thread", "and",
                                    "one",  "space",   "for",    "many", "of",  "them"};

static void enter(int vid, int type) {
    if (vas_attach(0, vid, type) < 0 || vas_switch(vid) < 0) err(1, "cannot enter VAS %d", vid);
}

static void insert(struct vas_heap *heap, struct node **at, const char *word) {
    int order;
    while (*at && (order = strcmp(word, (*at)->word)) != 0)
        at = order < 0 ? &(*at)->left : &(*at)->right;
    if (*at) return;
    if ((*at = vas_heap_alloc(heap, sizeof(struct node))) == NULL) err(1, "no room in the segment");
    memset(*at, 0, sizeof(struct node));
    strlcpy((*at)->word, word, sizeof((*at)->word));
}

/* Returns the number of nodes; adds up their addresses, and lists their words in order. */
static int walk(const struct node *node, unsigned long *sum, char *line, size_t room) {
    if (node == NULL) return 0;
    int left = walk(node->left, sum, line, room);
    *sum += (unsigned long)node;
    size_t used = strlen(line);
    snprintf(line + used, room - used, " %s", node->word);
    return left + 1 + walk(node->right, sum, line, room);
}

static void say(const char *what, const struct node *root) {
    unsigned long sum = 0;
    char line[200] = "";
    int nodes = walk(root, &sum, line, sizeof(line));
    printf("process %d %s %d nodes, root %p, addresses add up to %#lx:%s\n", getpid(), what, nodes,
           (void *)root, sum, line);
}

static void build(void) {
    int sid = vas_seg_create("tree", place, place + bytes, 0600), vid = vas_create("forest", 0600);
    if (sid < 0 || vid < 0 || vas_seg_attach(vid, sid, O_RDWR) < 0) err(1, "cannot make the VAS");
    enter(vid, O_RDWR);
    struct vas_heap *heap = vas_heap_create(place, bytes);
    struct node *root = NULL;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) insert(heap, &root, words[i]);
    vas_heap_set_root(heap, root);
    say("built", root);
}

static void look(void) {
    enter(vas_find("forest"), O_RDONLY);
    say("found", vas_heap_root(vas_heap_open(place)));
}

static void in_child(void (*work)(void)) {
    int status;
    pid_t child = fork();
    if (child < 0) err(1, "fork");
    if (child == 0) {
        work();
        fflush(stdout);
        _exit(0);
    }
    if (waitpid(child, &status, 0) < 0 || status) errx(1, "a child failed");
}

int main(void) {
    vantage_required();
    in_child(build);
    in_child(look);
    if (vas_delete(vas_find("forest")) < 0 || vas_seg_delete(vas_seg_find("tree")) < 0)
        err(1, "cannot delete");
    return 0;
}
