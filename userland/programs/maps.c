/* maps: a process looks at its own address space. Shows: regions, their rights, how much of
 * each is resident, and what the page tables say about single addresses. */

#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vantage.h>

static int in_data = 1;

static void print_region(const struct vantage_region *region) {
    printf("%12lx-%12lx  %c%c%c%c %5lu of %5lu  %s\n", region->start, region->end,
           region->prot & PROT_READ ? 'r' : '-', region->prot & PROT_WRITE ? 'w' : '-',
           region->prot & PROT_EXEC ? 'x' : '-', region->flags & REGION_SHARED ? 's' : 'p',
           region->resident_pages, (region->end - region->start) / 4096, region->name);
}

/* A letter for each bit that is set, in the order of the bits in the entry. */
static const char *pte_letters(uint64_t pte) {
    static const struct {
        uint64_t bit;
        char letter;
    } bits[] = {
        {PTE_NX, 'N'},   {PTE_GLOBAL, 'G'}, {PTE_DIRTY, 'D'},   {PTE_ACCESSED, 'A'},
        {PTE_USER, 'U'}, {PTE_WRITE, 'W'},  {PTE_PRESENT, 'P'},
    };
    static char letters[sizeof bits / sizeof *bits + 1];
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        letters[i] = pte & bits[i].bit ? bits[i].letter : '-';
    return letters;
}

static void print_translation(const char *what, const void *va) {
    static const char *const sizes[] = {"?", "4K", "2M", "1G"};
    struct vantage_page page;
    if (vantage_translate(va, &page) < 0)
        printf("%-12s %14p  %s\n", what, va, errno == EFAULT ? "no page there" : strerror(errno));
    else
        printf("%-12s %14p  -> pa %9lx  %s  pte %016lx %s  refs %lu\n", what, va, page.pa,
               sizes[page.level & 3], page.pte, pte_letters(page.pte), page.refs);
}

int main(void) {
    vantage_required();
    char *heap = malloc(100000);
    int on_stack = 0;
    if (!heap) err(1, "malloc");
    heap[0] = 1;

    printf("%25s  mode %14s  name\n", "region", "resident pages");
    struct vantage_region region;
    for (uint64_t i = 0; vantage_region(i, &region) == 0; i++) print_region(&region);

    printf("\nN no-execute, G global, D dirty, A accessed, U user, W writable, P present\n");
    print_translation("code", (void *)main);
    print_translation("constants", "a string");
    print_translation("data", &in_data);
    print_translation("heap", heap);
    print_translation("heap, fresh", heap + 90000);
    print_translation("stack", &on_stack);
    print_translation("null", NULL);
    return 0;
}
