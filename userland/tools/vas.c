/* vas: virtual address spaces that have names.
 *
 *     vas create NAME [MODE]
 *     vas list | orphans | chmod MODE VAS | delete VAS
 *     vas attach VAS SEGMENT [r|w|rw] | detach VAS SEGMENT
 *     vas run VAS COMMAND [ARGUMENT..]
 *     vas checkpoint PID | restart VAS
 *
 * `run` loads the program into this process, as the kernel would, switches, and jumps into it. So
 * from its first instruction on, the program sees the VAS's memory beside its own. (exec would
 * switch home.) This tool is movable, so the address of a program is free. Memory that the program
 * maps belongs to the VAS, and stays. An orphan is attached to no process. A MODE is 640, or p640:
 * what has that outlives the power.
 *
 * `checkpoint` freezes a process into a new VAS, whose id it prints. `restart` becomes the process
 * that is frozen there, with the standard input, output and errors of `vas` itself. */

#include <elf.h>
#include <sys/mman.h>

#include "vas_tool.h"

enum { PAGE = 4096, STACK_BYTES = 256 << 10, MOST_HEADERS = 16 };
enum { AT_NULL, AT_PHDR = 3, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY = 9, AT_RANDOM = 25 };

static const char usage[] =
    "usage: vas create NAME [MODE] | list | orphans | chmod MODE VAS | delete VAS | "
    "attach VAS SEGMENT [r|w|rw] | detach VAS SEGMENT | run VAS COMMAND.. | checkpoint PID | "
    "restart VAS";

/* ---- One call each ------------------------------------------------------------------- */

static void create(const char *name, const char *mode) {
    int vid = vas_create(name, mode_of(mode));
    if (vid < 0 && errno == EEXIST) errx(1, "there is a VAS '%s' already", name);
    if (vid < 0) explain_persistence(name);
    if (vid < 0) err(1, "cannot create the VAS '%s'", name);
    printf("%d\n", vid);
}

static void set_mode(const char *mode, const char *name) {
    struct vas_attr attr;
    int vid = vas_named(name);
    if (vas_getattr(vid, &attr) < 0) err(1, "cannot look at '%s'", name);
    attr.mode = mode_of(mode);
    if (vas_setattr(vid, &attr) == 0) return;
    explain_persistence(name);
    err(1, "cannot change the mode of '%s'", name);
}

static void delete(const char *name) {
    if (vas_delete(vas_named(name)) == 0) return;
    if (errno == EBUSY) errx(1, "a process has '%s' attached; it must end or detach it", name);
    err(1, "cannot delete '%s'", name);
}

static int type_of(const char *text) {
    if (strcmp(text, "rw") == 0) return O_RDWR;
    if (strcmp(text, "r") == 0) return O_RDONLY;
    if (strcmp(text, "w") == 0) return O_WRONLY;
    errx(2, "'%s' is no kind of access; give r, w or rw", text);
}

static void attach(const char *name, const char *segment, const char *type) {
    if (vas_seg_attach(vas_named(name), segment_named(segment), type_of(type)) == 0) return;
    if (errno == EFAULT)
        errx(1, "something is where '%s' would be; `vasseg list` says where", segment);
    if (errno == EBUSY)
        errx(1, "'%s' or '%s' is in use; its processes must end first", name, segment);
    err(1, "cannot attach '%s' to '%s'", segment, name);
}

static void detach(const char *name, const char *segment) {
    if (vas_seg_detach(vas_named(name), segment_named(segment)) == 0) return;
    if (errno == EINVAL) errx(1, "'%s' is not attached to '%s'", segment, name);
    if (errno == EBUSY) errx(1, "a process has '%s' attached; it must end first", name);
    err(1, "cannot detach '%s' from '%s'", segment, name);
}

/* ---- Checkpoint and restart ---------------------------------------------------------- */

static void checkpoint(const char *text) {
    char *end;
    long pid = strtol(text, &end, 10);
    if (*end || pid <= 0) errx(2, "'%s' is no process id", text);
    int vid = vas_fork((pid_t)pid);
    if (vid > 0)
        printf("%d\n", vid);
    else if (errno == ESRCH)
        errx(1, "there is no process %ld", pid);
    else if (errno == EACCES)
        errx(1, "process %ld is another user's", pid);
    else if (errno == EBUSY)
        errx(1, "process %ld cannot be frozen now: it has children, or shares its memory", pid);
    else if (errno == EOPNOTSUPP)
        errx(1, "process %ld has something open that cannot be frozen; the kernel's log names it",
             pid);
    else
        err(1, "cannot freeze process %ld", pid);
}

static void restart(const char *name) {
    vas_exec(0, vas_named(name));
    if (errno == EINVAL) errx(1, "'%s' is no checkpoint", name);
    if (errno == ESRCH) errx(1, "a VAS or segment that '%s' had attached is gone", name);
    if (errno == EBUSY) errx(1, "what '%s' had attached is in use; its processes must end", name);
    if (errno == ENOENT) errx(1, "a file that '%s' had open is gone", name);
    if (errno == EFAULT) errx(1, "what '%s' had attached has grown over its memory", name);
    err(1, "cannot restart '%s'", name);
}

/* ---- Run a program inside ------------------------------------------------------------ */

struct image {
    int fd;
    Elf64_Ehdr head;
    Elf64_Phdr headers[MOST_HEADERS];
    uint64_t table; /* where the program's headers are in memory */
};

static int open_program(const char *name) {
    char path[256];
    const char *folders = getenv("PATH");
    if (strchr(name, '/')) return open(name, O_RDONLY);
    for (const char *at = folders ? folders : "/bin"; *at;) {
        int length = (int)strcspn(at, ":");
        snprintf(path, sizeof path, "%.*s/%s", length, at, name);
        int fd = open(path, O_RDONLY);
        if (fd >= 0) return fd;
        at += length + (at[length] == ':');
    }
    return -1;
}

static void read_image(struct image *image, const char *name) {
    if ((image->fd = open_program(name)) < 0) err(1, "cannot find the program '%s'", name);
    Elf64_Ehdr *head = &image->head;
    ssize_t count = pread(image->fd, head, sizeof *head, 0);
    if (count != sizeof *head || memcmp(head->e_ident, "\177ELF", 4) || head->e_type != ET_EXEC ||
        head->e_phnum > MOST_HEADERS)
        errx(1, "'%s' is not a static program with a fixed place, and cannot run inside", name);
    size_t bytes = head->e_phnum * sizeof(Elf64_Phdr);
    if (pread(image->fd, image->headers, bytes, (off_t)head->e_phoff) != (ssize_t)bytes)
        errx(1, "'%s' is cut off", name);
}

static uint64_t up(uint64_t address) { return (address + PAGE - 1) / PAGE * PAGE; }

/* Pages `start`..`end` of memory, from the file or zero. */
static void map(uint64_t start, uint64_t end, int prot, int fd, uint64_t offset) {
    if (start >= end) return;
    int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_ANONYMOUS : 0);
    if (mmap((void *)start, end - start, prot, flags, fd, (off_t)offset) == MAP_FAILED)
        err(1, "cannot map the program");
}

/* One loadable segment: the file's pages, zeroes behind its last byte, and zero pages. */
static void load(struct image *image, const Elf64_Phdr *header) {
    uint64_t start = header->p_vaddr / PAGE * PAGE, in_page = header->p_vaddr % PAGE;
    uint64_t in_file = header->p_vaddr + header->p_filesz,
             in_memory = header->p_vaddr + header->p_memsz;
    int prot = (header->p_flags & 4 ? PROT_READ : 0) | (header->p_flags & 2 ? PROT_WRITE : 0) |
               (header->p_flags & 1 ? PROT_EXEC : 0);
    uint64_t file_end = header->p_filesz ? up(in_file) : start;
    map(start, file_end, prot, image->fd, header->p_offset - in_page);
    map(file_end, up(in_memory), prot, -1, 0);
    if (prot & PROT_WRITE && header->p_filesz) memset((void *)in_file, 0, file_end - in_file);
    if (header->p_offset <= image->head.e_phoff &&
        image->head.e_phoff < header->p_offset + header->p_filesz)
        image->table = header->p_vaddr + image->head.e_phoff - header->p_offset;
}

/* The stack as a program finds it: argc, arguments, environment, auxiliary vector. (x86-64 psABI,
 * 3.4.1) */
static uint64_t *first_stack(struct image *image, int argc, char **argv) {
    char *memory = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) err(1, "cannot make a stack");
    int variables = 0;
    while (environ[variables]) variables++;
    const uint64_t auxiliary[] = {
        AT_PHDR,   image->table,
        AT_PHENT,  sizeof(Elf64_Phdr),
        AT_PHNUM,  image->head.e_phnum,
        AT_PAGESZ, PAGE,
        AT_ENTRY,  image->head.e_entry,
        AT_RANDOM, (uint64_t)argv[0],
        AT_NULL,   0,
    };
    size_t words = 1 + (size_t)argc + 1 + (size_t)variables + 1;
    size_t bytes = words * 8 + sizeof auxiliary;
    uint64_t *stack = (uint64_t *)((uint64_t)(memory + STACK_BYTES - bytes) & -16ull), *at = stack;
    *at++ = (uint64_t)argc;
    for (int i = 0; i <= argc; i++) *at++ = (uint64_t)argv[i];
    for (int i = 0; i <= variables; i++) *at++ = (uint64_t)environ[i];
    memcpy(at, auxiliary, sizeof auxiliary);
    return stack;
}

static _Noreturn void enter(uint64_t entry, uint64_t *stack) {
    __asm__ volatile("mov %0, %%rsp\n"
                     "xor %%edx, %%edx\n" /* nothing to call at exit */
                     "jmp *%1"
                     :
                     : "r"(stack), "r"(entry)
                     : "rdx", "memory");
    __builtin_unreachable();
}

static void attach_to_me(int vid, const char *name) {
    if (vas_attach(0, vid, O_RDWR) == 0) return;
    if (errno == EACCES && vas_attach(0, vid, O_RDONLY) == 0) return;
    if (errno == EFAULT)
        errx(1, "'%s' has memory where the program has its own; the kernel's log names both", name);
    if (errno == EBUSY)
        errx(1, "another process has '%s' attached; it must end or detach it", name);
    err(1, "cannot attach '%s'", name);
}

static _Noreturn void run(const char *name, int argc, char **argv) {
    struct image image = {0};
    int vid = vas_named(name);
    read_image(&image, argv[0]);
    for (int i = 0; i < image.head.e_phnum; i++)
        if (image.headers[i].p_type == PT_LOAD) load(&image, &image.headers[i]);
    close(image.fd);
    uint64_t *stack = first_stack(&image, argc, argv);
    attach_to_me(vid, name);
    if (vas_switch(vid) < 0) err(1, "cannot switch to '%s'", name);
    enter(image.head.e_entry, stack);
}

int main(int argc, char **argv) {
    vantage_required();
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "create") == 0 && (argc == 3 || argc == 4))
        create(argv[2], argc == 4 ? argv[3] : "600");
    else if (strcmp(command, "list") == 0 && argc == 2)
        list("vas", 0, "SEGMENTS", "segments");
    else if (strcmp(command, "orphans") == 0 && argc == 2)
        list("vas", 1, "SEGMENTS", "segments");
    else if (strcmp(command, "chmod") == 0 && argc == 4)
        set_mode(argv[2], argv[3]);
    else if (strcmp(command, "delete") == 0 && argc == 3)
        delete(argv[2]);
    else if (strcmp(command, "attach") == 0 && (argc == 4 || argc == 5))
        attach(argv[2], argv[3], argc == 5 ? argv[4] : "rw");
    else if (strcmp(command, "detach") == 0 && argc == 4)
        detach(argv[2], argv[3]);
    else if (strcmp(command, "checkpoint") == 0 && argc == 3)
        checkpoint(argv[2]);
    else if (strcmp(command, "restart") == 0 && argc == 3)
        restart(argv[2]);
    else if (strcmp(command, "run") == 0 && argc > 3)
        run(argv[2], argc - 3, argv + 3);
    else
        errx(2, "%s", usage);
    return 0;
}
