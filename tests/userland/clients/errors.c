/* The order in which the calls look at what they are given, and that a mode is no type. */

#include <errno.h>
#include <fcntl.h>
#include <mvas/segment.h>
#include <mvas/vas.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 30000 };

static void say(const char *what, int result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "done");
}

int main(void) {
    int vid = vas_create("", 0777), sid = segment_create_sz("", 0xC0DE000, 4096, 0777);
    struct vas_attr attr;
    say("a negative pid, before a negative vid", vas_attach(-1, -1, 3));
    say("a negative vid, before an unknown pid", vas_attach(NOBODY, -1, 3));
    say("an unknown pid, before a wrong type", vas_attach(NOBODY, vid, 3));
    say("a wrong type, before an unknown vid", vas_attach(0, NOBODY, 3));
    say("a wrong type of a segment", segment_attach(vid, sid, S_IRWXO));
    say("a mode as the type of a segment", segment_attach(vid, sid, S_IRWXU));
    say("a mode as a type", vas_attach(getpid(), vid, S_IRWXU | S_IRWXG));
    say("the same again, with flags", vas_attach(0, vid, O_RDWR | O_CLOEXEC));
    say("attributes to nowhere", vas_getattr(vid, NULL));
    say("attributes from nowhere", vas_setattr(vid, NULL));
    say("deleting what is attached", vas_delete(vid));
    say("finding an empty name", vas_find(""));
    say("no name", vas_find(NULL));
    say("an unknown name", vas_find("other"));
    say("attributes", vas_getattr(vid, &attr));
    printf("%o of %u:%u\n", (unsigned)attr.mode, (unsigned)attr.user, (unsigned)attr.group);
    say("detaching", vas_detach(getpid(), vid));
    say("deleting", vas_delete(vid));
    say("deleting the segment", segment_delete(sid));
    return 0;
}
