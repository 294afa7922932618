/* cow: parent and child share N pages (default 8) after a fork; the child writes every second
 * one. Shows: copy-on-write. On Vantage it also prints which frames the pages lie in and how
 * many owners each frame has; elsewhere it only checks the contents. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>

enum { PAGE = 4096, MOST_PAGES = 64 };

static char *pages;
static int count = 8;

static void fill(int page, int value) { memset(pages + page * PAGE, value, PAGE); }

static int is_filled_with(int page, int value) {
    for (int i = 0; i < PAGE; i++)
        if (pages[page * PAGE + i] != (char)value) return 0;
    return 1;
}

static int parents_value(int page) { return 'a' + page; }
static int childs_value(int page) { return page % 2 ? parents_value(page) : 'A' + page; }

static void show(const char *when) {
    struct vantage_page page;
    if (null_call() < 0) return;
    printf("%-22s", when);
    for (int i = 0; i < count; i++)
        if (vantage_translate(pages + i * PAGE, &page) == 0)
            printf(" %lx:%lu%c", page.pa / PAGE, page.refs, page.pte & PTE_WRITE ? 'w' : 'r');
    printf("\n");
}

static int check(const char *who, int (*value)(int)) {
    int right = 0;
    for (int i = 0; i < count; i++) right += is_filled_with(i, value(i));
    printf("%s: %d of %d pages hold what they should\n", who, right, count);
    return right == count;
}

static int child(void) {
    show("child, before writing");
    for (int i = 0; i < count; i += 2) fill(i, childs_value(i));
    show("child, after writing");
    return check("child", childs_value) ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc > 1) count = atoi(argv[1]);
    if (count < 1 || count > MOST_PAGES) errx(2, "1 to %d pages", MOST_PAGES);
    pages = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (pages == MAP_FAILED) err(1, "mmap");
    for (int i = 0; i < count; i++) fill(i, parents_value(i));
    show("before fork");

    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) return child();
    int status;
    waitpid(pid, &status, 0);
    show("parent, child is gone");
    return check("parent", parents_value) && status == 0 ? 0 : 1;
}
