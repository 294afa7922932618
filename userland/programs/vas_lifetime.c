/* vas_lifetime: a child writes pages of four kinds of memory, detaches its VAS and ends. Then the
 * parent deletes the rest, kind by kind. Then another child fills a VAS until its user's limit
 * stops it. Shows: what still holds memory after exit, what releases it, and who is charged. The
 * argument is the number of pages that the second child asks for (default 512).
 *
 * A null_call marks: the start; in the first child, all written, and detached; the end of that
 * child; each deletion, of the VAS, the segment, the file; and the end of the second child. */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, OWN = 32, IN_VAS = 16, IN_SEGMENT = 8, IN_FILE = 4 };
static const char path[] = "/tmp/left";
static char *const place = (char *)0x80000000;
static int hog_pages = 512;

/* ---- Four kinds of memory --------------------------------------------------------------- */

static void fill(const char *kind, char *memory, int pages) {
    if (memory == MAP_FAILED) err(1, "no memory for %s", kind);
    for (int i = 0; i < pages; i++) memory[i * PAGE] = 'x';
    printf("%s: %d pages at %p\n", kind, pages, (void *)memory);
}

static char *anonymous(int pages) {
    return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void fill_a_file(void) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, IN_FILE * PAGE) < 0) err(1, "cannot make %s", path);
    fill("file", mmap(NULL, IN_FILE * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), IN_FILE);
}

static void enter(int vid) {
    if (vas_attach(0, vid, O_RDWR) < 0 || vas_switch(vid) < 0) err(1, "cannot enter a VAS");
}

static void refused(int result, const char *call) {
    if (result == 0 || errno != EBUSY) errx(1, "%s was not refused", call);
}

static void use_all(void) {
    fill("own", anonymous(OWN), OWN);
    fill_a_file();
    int sid = vas_seg_create("left", place, place + IN_SEGMENT * PAGE, 0600);
    int vid = vas_create("left", 0600);
    if (sid < 0 || vid < 0 || vas_seg_attach(vid, sid, O_RDWR) < 0) err(1, "cannot set up");
    enter(vid);
    fill("segment", place, IN_SEGMENT);
    fill("vas", anonymous(IN_VAS), IN_VAS);
    refused(vas_delete(vid), "vas_delete");
    refused(vas_seg_delete(sid), "vas_seg_delete");
    null_call();
    if (vas_switch(0) < 0 || vas_detach(0, vid) < 0) err(1, "cannot leave");
    null_call();
}

/* ---- An orphan that is too large --------------------------------------------------------- */

static void hog(void) {
    int sid = vas_seg_create("notes", place, place + IN_SEGMENT * PAGE, 0600);
    if (sid < 0 || vas_seg_attach(0, sid, O_RDWR) < 0) err(1, "cannot make a segment");
    memset(place, 'x', IN_SEGMENT * PAGE);
    enter(vas_create("hog", 0600));
    char *memory = anonymous(hog_pages);
    if (memory == MAP_FAILED) err(1, "no memory inside");
    for (int i = 0; i < hog_pages; i++) memory[i * PAGE] = 'x';
}

/* ---- The parent --------------------------------------------------------------------------- */

static int in_a_child(void (*work)(void)) {
    int status;
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        work();
        exit(0);
    }
    if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
    return status;
}

static void run(char *tool, char *what) {
    char *const words[] = {tool, what, NULL};
    pid_t pid = fork();
    if (pid < 0) err(1, "cannot fork");
    if (pid == 0) {
        execv(tool, words);
        err(1, "cannot run %s", tool);
    }
    if (waitpid(pid, NULL, 0) < 0) err(1, "waitpid");
}

/* Another VAS, if the limit permits one. */
static void try_another(void) {
    int vid = vas_create("another", 0600);
    if (vid < 0)
        printf("another VAS: %s\n", strerror(errno));
    else if (vas_delete(vid) == 0)
        puts("another VAS: made");
}

int main(int argc, char **argv) {
    if (argc > 1) hog_pages = atoi(argv[1]);
    if (hog_pages < 1) errx(2, "at least one page");
    vantage_required();
    null_call();
    if (in_a_child(use_all)) errx(1, "the child failed");
    null_call();
    if (vas_delete(vas_find("left")) < 0) err(1, "cannot delete the VAS");
    null_call();
    if (vas_seg_delete(vas_seg_find("left")) < 0) err(1, "cannot delete the segment");
    null_call();
    if (unlink(path) < 0) err(1, "cannot unlink %s", path);
    null_call();

    in_a_child(hog);
    null_call();
    run("/bin/vas", "orphans");
    run("/bin/vasseg", "orphans");
    try_another();
    if (vas_delete(vas_find("hog")) < 0) err(1, "cannot delete the VAS");
    try_another();
    if (vas_seg_delete(vas_seg_find("notes")) < 0) err(1, "cannot delete the segment");
    return 0;
}
