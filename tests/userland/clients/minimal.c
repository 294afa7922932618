/* The smallest use of a segment: memory at 0xC0DE000, in an address space that a process enters,
 * writes to and leaves, and that another process finds by its name and reads. */

#include <errno.h>
#include <fcntl.h>
#include <mvas/segment.h>
#include <mvas/vas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 4 * 4096 };
static char *const place = (char *)0xC0DE000;

static void must(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

/* The text at the place as this process sees it from inside. */
static void visit(int vid, const char *text) {
    must(vas_attach(getpid(), vid, text ? O_RDWR : O_RDONLY) == 0, "vas_attach");
    must(vas_switch(vid) == 0, "vas_switch");
    if (text) strcpy(place, text);
    char seen[64];
    strcpy(seen, place);
    must(vas_switch(0) == 0, "the way home");
    printf("inside: %s\n", seen);
    must(vas_detach(getpid(), vid) == 0, "vas_detach");
}

int main(void) {
    int status, ends[2], vid = vas_create("minimal", 0660);
    segid_t sid = segment_create_sz("code", (unsigned long)place, BYTES, 0660);
    must(vid > 0 && sid > 0, "create");
    printf("the program is %s it\n", (char *)main > place ? "above" : "below");
    must(segment_attach(vid, sid, O_RDWR) == 0, "segment_attach");
    visit(vid, "written by the first process");
    must(pipe(ends) == 0, "pipe");
    printf("at home: %s\n", write(ends[1], place, 1) < 0 && errno == EFAULT ? "nothing" : "there");
    fflush(stdout);
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        visit(vas_find("minimal"), NULL);
        exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "the second process");
    must(segment_detach(vid, sid) == 0, "segment_detach");
    must(segment_delete(sid) == 0 && vas_delete(vid) == 0, "delete");
    must(segment_find("code") < 0 && errno == ESRCH, "segment_find");
    printf("nothing is left\n");
    return 0;
}
