/* System V shared memory: finding, attaching, counting, removing, and every wrong argument. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define NOWHERE ((void *)8)
#define WITHOUT ((void *)-1)

static int id;     /* of two pages, of which the second is not full */
static key_t key;  /* that nobody else uses */

static struct shmid_ds status_of(int number) {
    struct shmid_ds status = {0};
    if (shmctl(number, IPC_STAT, &status) != 0) say("no status: %d\n", errno);
    return status;
}

static int attached(int number) { return (int)status_of(number).shm_nattch; }

static void tell(const char *what) {
    struct shmid_ds now = status_of(id);
    say("%s: mode %o, %ld bytes, attached %ld, keyed %d, times %d %d %d, made by me %d, last %d\n",
        what, now.shm_perm.mode, (long)now.shm_segsz, (long)now.shm_nattch,
        now.shm_perm.__key == key, now.shm_atime != 0, now.shm_dtime != 0, now.shm_ctime != 0,
        now.shm_cpid == getpid(), now.shm_lpid == 0 ? 0 : now.shm_lpid == getpid() ? 1 : 2);
}

/* What a child finds there: a byte, or a signal and its code. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    _exit(100 + number * 10 + info->si_code);
}

static void look(const char *what, volatile char *at, int store) {
    if (fork() == 0) {
        struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        if (store) *at = (char)store;
        _exit(*at);
    }
    int status;
    wait(&status);
    say("%s: %d\n", what, WEXITSTATUS(status));
}

static void getting(void) {
    TRY(shmget(key, 1, 0));
    TRY(shmget(key, 1, IPC_EXCL));
    TRY(shmget(key, 0, IPC_CREAT | 0600));
    TRY(shmget(key, -1ul, IPC_CREAT | 0600));
    CHECK(id = shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640));
    tell("new");
    TRY(shmget(key, 5000, 0) == id);
    TRY(shmget(key, 0, IPC_CREAT) == id);
    TRY(shmget(key, 5001, 0));
    TRY(shmget(key, 1, IPC_CREAT | IPC_EXCL));
    TRY(shmget(key, 1, 0600) == id);
    TRY(shmget(key, 1, 0100));
    TRY(shmget(key, 1, 0007));
}

static void shared(void) {
    char *one = shmat(id, NULL, 0), *two = shmat(id, NULL, SHM_RDONLY);
    tell("attached twice");
    one[0] = 1, one[4999] = 2;
    say("seen: %d %d, behind the end %d\n", two[0], two[4999], two[5001]);
    look("a child's store", one + 1, 3);
    say("seen: %d\n", two[1]);
    look("a store to what is read-only", two, 4);
    TRY(mprotect(two, PAGE, RW));
    TRY(mprotect(one, PAGE, PROT_READ));
    say("a split counts: %d\n", attached(id));
    TRY(mprotect(one, PAGE, RW));
    say("and stays: %d\n", attached(id));
    TRY(munmap(one + PAGE, PAGE));
    say("half of it: %d\n", attached(id));
    TRY(shmdt(one + PAGE));
    TRY(shmdt(one + 1));
    TRY(shmdt(one));
    TRY(shmdt(one));
    TRY(munmap(two, PAGE));
    say("the other half: %d\n", attached(id));
    TRY(shmdt(two + PAGE));
    TRY(shmdt(two));
    tell("detached");
    char *again = shmat(id, NULL, 0);
    say("kept: %d %d\n", again[0], again[4999]);
    TRY(shmdt(again));
}

static void places(void) {
    char *room = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room, 8 * PAGE);
    TRY(shmat(id, room + 1, 0));
    TRY(shmat(id, room + 1, SHM_RND) == room ? 0 : -1);
    TRY(shmat(id, room + PAGE, 0));
    TRY(shmat(id, room - PAGE, 0));
    TRY(shmat(id, room + PAGE, SHM_REMAP) == room + PAGE ? 0 : -1);
    say("attached: %d\n", attached(id));
    TRY(shmat(id, NULL, SHM_REMAP));
    TRY(shmat(id, NOWHERE, SHM_RND));
    TRY(shmat(id, NOWHERE, SHM_RND | SHM_REMAP));
    TRY(shmat(id, (void *)0x7ffffffff000, 0));
    TRY(shmat(id, (void *)-PAGE, 0));
    TRY(shmat(id, (void *)-PAGE, SHM_REMAP));
    TRY(shmat(-1, NULL, 0));
    TRY(shmat(id + 32768, NULL, 0));
    TRY(shmat(id, NULL, SHM_EXEC));
    TRY(shmdt(room));
    TRY(shmdt(room + PAGE));
    TRY(shmdt(room + PAGE));
    TRY(shmdt(NOWHERE));
    int runs = shmget(IPC_PRIVATE, PAGE, 0700);
    char *code = shmat(runs, NULL, SHM_EXEC);
    code[0] = (char)0xc3; /* ret */
    ((void (*)(void))code)();
    TRY(shmctl(runs, IPC_RMID, NULL));
    TRY(shmdt(code));
    TRY(shmctl(runs, IPC_STAT, NULL));
}

static void moved(void) {
    char *at = shmat(id, NULL, 0);
    at[1] = 5;
    char *to = mremap(at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    say("grown: %d, attached %d\n", to != MAP_FAILED, attached(id));
    look("behind the segment", to + 2 * PAGE, 0);
    char *twice = mremap(to, 0, 2 * PAGE, MREMAP_MAYMOVE);
    say("twice: %d, attached %d\n", twice[1], attached(id));
    TRY(shmdt(twice));
    TRY(munmap(to, 4 * PAGE));
    say("gone: %d\n", attached(id));
}

static void lifetimes(void) {
    char *at = shmat(id, NULL, 0);
    at[0] = 6;
    if (fork() == 0) {
        say("in a child: %d\n", attached(id));
        shmdt(at);
        say("detached: %d\n", attached(id));
        at = shmat(id, NULL, 0);
        _exit(at[0]);
    }
    wait(NULL);
    tell("after its end");
    char number[16];
    snprintf(number, sizeof number, "%d", id);
    if (fork() == 0) {
        execl("/proc/self/exe", "p_shm", number, NULL);
        _exit(99);
    }
    int status;
    wait(&status);
    say("after exec: %d, status %d\n", attached(id), WEXITSTATUS(status));
    TRY(shmctl(id, IPC_RMID, NULL));
    tell("removed");
    TRY(shmget(key, 1, 0));
    int other = shmget(key, PAGE, IPC_CREAT | 0600);
    say("another one: %d\n", other != id);
    TRY(shmctl(other, IPC_RMID, NULL));
    TRY(shmctl(other, IPC_RMID, NULL));
    char *last = shmat(id, NULL, 0);
    say("still there: %d %d\n", last[0], attached(id));
    TRY(shmctl(id, IPC_RMID, NULL));
    TRY(shmdt(at));
    TRY(shmdt(last));
    TRY(shmctl(id, IPC_STAT, NULL));
    TRY(shmat(id, NULL, 0));
}

static void controls(void) {
    struct shmid_ds status;
    int number = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    TRY(shmctl(number, 99, &status));
    TRY(shmctl(number, -1, &status));
    TRY(shmctl(-1, IPC_STAT, &status));
    TRY(shmctl(number, IPC_STAT, NOWHERE));
    TRY(shmctl(number, IPC_SET, NOWHERE));
    TRY(shmctl(number + 32768, IPC_SET, NOWHERE));
    TRY(shmctl(number + 32768, IPC_STAT, NOWHERE));
    TRY(shmctl(number, IPC_STAT, &status));
    status.shm_perm.mode = 07666;
    TRY(shmctl(number, IPC_SET, &status));
    TRY(shmctl(number, IPC_STAT, &status));
    say("mode %o\n", status.shm_perm.mode);
    status.shm_perm.uid = -1;
    TRY(shmctl(number, IPC_SET, &status));
    status.shm_perm.uid = getuid(), status.shm_perm.gid = -1;
    TRY(shmctl(number, IPC_SET, &status));
    status.shm_perm.gid = 5, status.shm_perm.mode = 0;
    TRY(shmctl(number, IPC_SET, &status));
    TRY(shmctl(number, IPC_STAT, &status));
    TRY(shmctl(number & 32767, SHM_STAT, &status));
    TRY(shmctl(number & 32767, 15 /* SHM_STAT_ANY */, &status) == number);
    say("group %d, maker's %d, mode %o\n", status.shm_perm.gid, status.shm_perm.cgid == getgid(),
        status.shm_perm.mode);
    TRY(shmat(number, NULL, SHM_RDONLY));
    status.shm_perm.uid = getuid() + 1, status.shm_perm.mode = 0400;
    TRY(shmctl(number, IPC_SET, &status)); /* the maker keeps its rights */
    TRY(shmat(number, NULL, 0));
    TRY(shmdt(shmat(number, NULL, SHM_RDONLY)));
    TRY(shmctl(number, SHM_LOCK, NULL));
    status.shm_perm.uid = getuid();
    TRY(shmctl(number, IPC_SET, &status));
    TRY(shmctl(number, SHM_LOCK, NULL));
    say("mode %o\n", status_of(number).shm_perm.mode);
    TRY(shmctl(number, SHM_LOCK, NULL));
    TRY(shmctl(number, SHM_UNLOCK, NULL));
    TRY(shmctl(number, SHM_UNLOCK, NULL));
    TRY(shmctl(number + 32768, SHM_LOCK, NULL));
    TRY(shmctl(number, IPC_RMID, NULL));
}

static struct shm_info usage(void) {
    struct shm_info now = {0};
    if (shmctl(0, SHM_INFO, (void *)&now) < 0) say("no sums: %d\n", errno);
    return now;
}

/* Make and remove a segment; `seen` is by how much it changes the sums: segments, pages, pages in
 * memory and on the disk, and what is left of it. */
static void one_more(long seen[6]) {
    struct shm_info before = usage(), now, after;
    int number = shmget(IPC_PRIVATE, 3 * PAGE + 1, 0600);
    char *at = shmat(number, NULL, 0);
    at[0] = at[PAGE] = 1;
    now = usage();
    shmctl(number, IPC_RMID, NULL);
    shmdt(at);
    after = usage();
    seen[0] = now.used_ids - before.used_ids;
    seen[1] = (long)(now.shm_tot - before.shm_tot);
    seen[2] = (long)(now.shm_rss - before.shm_rss);
    seen[3] = (long)(now.shm_swp - before.shm_swp);
    seen[4] = after.used_ids - before.used_ids;
    seen[5] = (long)(after.shm_tot - before.shm_tot);
}

static void sums(void) {
    long seen[6], expected[6] = {1, 4, 2, 0, 0, 0};
    for (int tries = 0; tries < 20; tries++) { /* others on the host make segments as well */
        one_more(seen);
        if (memcmp(seen, expected, sizeof seen) == 0) break;
    }
    for (int i = 0; i < 6; i++) say("sum %d: %ld\n", i, seen[i]);
    struct shminfo most;
    CHECK(shmctl(0, IPC_INFO, (void *)&most));
    say("at least %lu, at most %lu bytes, %lu segments\n", most.shmmin, most.shmmax, most.shmmni);
    TRY(shmctl(0, IPC_INFO, NOWHERE));
    TRY(shmctl(0, SHM_INFO, NOWHERE));
}

/* The lines of a file that name a segment, as far as they are the same on every system. */
static void lines(const char *path, int number) {
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        long found, mode, size, pid, last, count, more[9] = {0};
        char *name = strstr(line, "/SYSV"), *rights = strchr(line, ' ');
        if (name != NULL) say("%s:%.20s %s", path, rights, name);
        if (strstr(line, "shmid") != NULL) say("%s", line);
        if (sscanf(line, "%*d %ld %lo %ld %ld %ld %ld %*d %*d %*d %*d %ld %ld %ld %ld %ld", &found,
                   &mode, &size, &pid, &last, &count, more, more + 1, more + 2, more + 3,
                   more + 4) == 11 && found == number)
            say("mode %lo, %ld bytes, attached %ld, mine %d %d, times %d %d %d, %ld in, %ld out\n",
                mode, size, count, pid == getpid(), last == getpid(), more[0] != 0, more[1] != 0,
                more[2] != 0, more[3], more[4]);
    }
    if (file != NULL) fclose(file);
}

static void files(void) {
    int number = shmget(IPC_PRIVATE, 2 * PAGE, 0644);
    char *at = shmat(number, NULL, 0);
    at[PAGE] = 1;
    lines("/proc/sysvipc/shm", number);
    lines("/proc/self/maps", number);
    TRY(shmctl(number, IPC_RMID, NULL));
    lines("/proc/sysvipc/shm", number);
    lines("/proc/self/maps", number);
    TRY(shmdt(at));
    lines("/proc/sysvipc/shm", number);
}

static void value(const char *path) {
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    if (read(fd, text, sizeof text - 1) < 0) say("no %s\n", path);
    close(fd);
    say("%s: %s", path, text);
}

int main(int count, char **words) {
    if (count > 1) { /* after exec, nothing is attached */
        say("in another program: %d\n", attached(atoi(words[1])));
        char *at = shmat(atoi(words[1]), NULL, SHM_RDONLY);
        return at == WITHOUT ? 98 : at[0];
    }
    key = 0x56000000 + getpid();
    getting();
    shared();
    places();
    moved();
    lifetimes();
    controls();
    sums();
    files();
    value("/proc/sys/kernel/shmmax");
    value("/proc/sys/kernel/shmmni");
    return 0;
}
