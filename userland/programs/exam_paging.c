/* exam_paging: does to memory what its words say, one after the other; the first is the nonce.
 * Numbers are hexadecimal, except the nonce. Shows: whatever a question about memory asks for.
 *
 *   mVA,PAGES,PROT,FLAGS,FROM
 *                         map there; FLAGS without MAP_ANONYMOUS (20): this program's file from
 *                         its page FROM on
 *   pVA,PAGES,PROT        change the rights
 *   sVA,N                 store exam_mix(N)
 *   lVA,SLOT              load, as answer SLOT (0: for nobody)
 *   rVA,SLOT wVA,SLOT xVA,SLOT
 *                         try to read, write, execute: answers SLOT to SLOT+2 are the signal (0:
 *                         none), its address and its code
 *   ( ... )               a child does this and ends, while the parent goes on
 *   W                     wait for a child
 *   +SLOT -SLOT           raise a flag; wait for one, or for a child's early end
 *   L                     lock what is mapped by now
 *   BN                    leave N frames free: the rest of memory gets locked pages
 *   vVA,PAGES,N           attach a new VAS, map there inside, store exam_mix(N), and come home
 *   iN                    go into the VAS (1), or home (0)
 *   fVA,PAGES             map the first page of this program's file that often, and store to each
 *   !N                    stop N */

#include <exam.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vas.h>

enum { PAGE = 4096, ARGUMENTS = 5, MANY = 1024, FREE_RAM = 5, SYSINFO_WORDS = 14 };

/* Right behind the pages that questions use, so that one page table serves both. */
static volatile char *const ballast = (volatile char *)0x500000100000;

static const char *own_file;
static jmp_buf before_the_access;
static volatile int trying;
static volatile uint64_t caught[3];

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    if (!trying) { /* the access is repeated, and ends the program */
        signal(number, SIG_DFL);
        return;
    }
    caught[0] = number;
    caught[1] = (uint64_t)info->si_addr;
    caught[2] = info->si_code;
    longjmp(before_the_access, 1);
}

/* A stack that cannot grow has no room for a handler. */
static void catch_faults(void) {
    static char room[SIGSTKSZ];
    stack_t other = {.ss_sp = room, .ss_size = sizeof room};
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    memset(room, 0, sizeof room);
    if (sigaltstack(&other, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0 ||
        sigaction(SIGBUS, &action, NULL) < 0)
        err(1, "no handler");
}

static void access_once(char how, volatile uint64_t *place) {
    if (how == 'r') (void)*place;
    if (how == 'w') *place = 1;
    if (how == 'x') ((void (*)(void))(uintptr_t)place)();
}

static void try_access(char how, uint64_t va, int slot) {
    caught[0] = caught[1] = caught[2] = 0;
    trying = 1;
    if (setjmp(before_the_access) == 0) access_once(how, (volatile uint64_t *)va);
    trying = 0;
    for (int i = 0; i < 3; i++) EXAM_PAGE[slot + i] = caught[i];
}

static void map(const uint64_t *value) {
    int file = value[3] & MAP_ANONYMOUS ? -1 : open(own_file, O_RDONLY);
    void *place = mmap((void *)value[0], value[1] * PAGE, (int)value[2],
                       (int)value[3] | MAP_FIXED_NOREPLACE, file, (off_t)(value[4] * PAGE));
    if (place == MAP_FAILED) err(1, "cannot map %lx", value[0]);
    if (file >= 0) close(file);
}

static uint64_t free_frames(void) {
    static uint64_t told[SYSINFO_WORDS];
    syscall(SYS_sysinfo, told);
    return told[FREE_RAM];
}

static void leave_free(uint64_t frames) {
    for (size_t page = 0; page < MANY && free_frames() > frames; page++) ballast[page * PAGE] = 1;
}

static void lock(void) {
    mmap((void *)ballast, MANY * PAGE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    free_frames();
    if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0) err(1, "mlockall");
}

static int vas;

static void make_view(const uint64_t *value) {
    vas = vas_create("exam", 0600);
    if (vas < 0 || vas_attach(0, vas, O_RDWR) < 0 || vas_switch(vas) < 0) err(1, "no view");
    void *place = mmap((void *)value[0], value[1] * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == MAP_FAILED) err(1, "cannot map %lx inside", value[0]);
    *(volatile uint64_t *)value[0] = exam_mix(value[2]);
    if (vas_switch(0) < 0) err(1, "no way home");
}

static void copy_pages(const uint64_t *value) {
    for (uint64_t i = 0; i < value[1]; i++) {
        uint64_t one[] = {value[0] + i * PAGE, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0};
        map(one);
    }
    for (uint64_t i = 0; i < value[1]; i++) *(volatile uint64_t *)(value[0] + i * PAGE) = i;
}

/* One word that is not about processes. */
static void act(const char *word) {
    uint64_t value[ARGUMENTS] = {0};
    char *rest = (char *)word;
    for (int i = 0; i < ARGUMENTS && *rest; i++) value[i] = strtoull(rest + 1, &rest, 16);
    switch (*word) {
    case 'm': map(value); break;
    case 'p': mprotect((void *)value[0], value[1] * PAGE, (int)value[2]); break;
    case 's': *(volatile uint64_t *)value[0] = exam_mix(value[1]); break;
    case 'l':
        if (value[1])
            EXAM_PAGE[value[1]] = *(volatile uint64_t *)value[0];
        else
            (void)*(volatile uint64_t *)value[0];
        break;
    case '+': EXAM_PAGE[value[0]] = 1; break;
    case '-':
        while (!EXAM_PAGE[value[0]] && waitpid(-1, NULL, WNOHANG) <= 0) sched_yield();
        break;
    case 'L': lock(); break;
    case 'B': leave_free(value[0]); break;
    case '!': exam_stop((int)value[0]); break;
    case 'v': make_view(value); break;
    case 'f': copy_pages(value); break;
    case 'i':
        if (vas_switch(value[0] ? vas : 0) < 0) err(1, "no way in or out");
        break;
    case 'W': wait(NULL); break;
    default: try_access(*word, value[0], (int)value[1]);
    }
}

int main(int argc, char **argv) {
    own_file = argv[0][0] == '/' ? argv[0] : "/bin/exam_paging";
    exam_begin(argc, argv);
    printf("%d words\n", argc > 2 ? argc - 2 : 0);
    fflush(stdout);
    catch_faults();
    for (int i = 2; i < argc; i++) {
        if (*argv[i] == ')') _exit(0);
        if (*argv[i] == '(') {
            if (fork() != 0)
                while (*argv[i] != ')') i++;
        } else
            act(argv[i]);
    }
    return 0;
}
