/* What Vantage adds to the Linux calls: endpoints, and a look at one's own page tables.
 * Every function returns -1 and sets errno when it fails. */
#ifndef VANTAGE_H
#define VANTAGE_H

#include <stdint.h>

/* ---- Messages ------------------------------------------------------------------------
 * An endpoint is a meeting point: the sender waits until a receiver takes the message.
 * A process holds an endpoint as a small number, like a file descriptor. */

struct ipc_msg {
    uint64_t label;         /* the kind of message, as sender and receiver agree */
    uint64_t word[6];       /* the payload of a short message */
    void *data;             /* a buffer for a long one, or NULL */
    uint64_t data_bytes;    /* going out: bytes to send; coming in: bytes received */
    uint64_t data_capacity; /* room at `data` for the reply */
    int32_t cap;            /* a descriptor to pass along, or -1; coming in: the new one */
    int32_t sender_pid;     /* coming in: who sent it; filled in by the kernel */
};

/* A new endpoint; the result is its descriptor. */
int ipc_endpoint(void);

/* Send *msg and wait for the reply, which overwrites it. */
int ipc_call(int ep, struct ipc_msg *msg);

/* Send *msg and wait only until it is received. */
int ipc_send(int ep, const struct ipc_msg *msg);

/* Wait for a message. The result is a token for its sender, who waits for a reply. It is 0 if
 * the message came by ipc_send. */
long ipc_recv(int ep, struct ipc_msg *msg);

/* Answer the sender that the token stands for. */
int ipc_reply(long token, const struct ipc_msg *msg);

/* Answer with *msg, then wait for the next message and receive it into *msg. */
long ipc_reply_recv(long token, int ep, struct ipc_msg *msg);

/* Publish an endpoint under a name, and look one up: the result is a descriptor, or ENOENT. */
int ipc_publish(const char *name, int ep);
int ipc_lookup(const char *name);

/* ---- Looking at memory --------------------------------------------------------------- */

struct vantage_page {
    uint64_t pte;   /* the leaf entry, as it stands in the page table */
    uint64_t pa;    /* the physical address that the virtual one maps to */
    uint64_t level; /* of the leaf: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB */
    uint64_t refs;  /* how many owners the frame has */
};

struct vantage_region {
    uint64_t start, end;
    uint32_t prot;  /* PROT_READ | PROT_WRITE | PROT_EXEC */
    uint32_t flags; /* REGION_SHARED */
    uint64_t resident_pages;
    char name[32];
};

#define REGION_SHARED 1u

/* Bits of a page-table entry. (Intel SDM vol. 3A, 4.5) */
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_GLOBAL (1ull << 8)
#define PTE_NX (1ull << 63)

/* The page-table entry of an address; EFAULT if no page is mapped there at this moment. */
int vantage_translate(const void *va, struct vantage_page *out);

/* The index-th region of the address space, in the order of addresses; ENOENT past the last. */
int vantage_region(uint64_t index, struct vantage_region *out);

/* Enter the kernel and come back. */
int null_call(void);

/* Exit with one sentence when the kernel underneath is not Vantage. */
void vantage_required(void);

#endif
