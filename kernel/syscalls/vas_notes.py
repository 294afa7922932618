"""What the manual says about virtual address spaces beyond the single calls."""

from __future__ import annotations

NOTES: dict[str, tuple[str, ...]] = {
    "How views follow each other (--vas-sync)": (
        "subtree (default): a view shares page-table subtrees with its process and with the VAS, "
        "at the highest level whose span has one owner. There is one heap, one mapping, one page, "
        "whatever view it is changed in.",
        "forward: a view has tables of its own; every change is pushed into them at once and is "
        "counted (vas_ctl, VAS_CTL_PUSHED). What programs see is the same as under subtree.",
        "rfc: a view is a copy, brought up to date at each switch by timestamps of regions, as in "
        "the RFC. A heap that grew, in either view, makes the next switch fail with EFAULT; what "
        "the process unmaps lives on in the view; a page first touched inside is another one "
        "outside; readers can add mappings, and the second of them cannot detach. What is mapped "
        "inside becomes the VAS's, and its owner pays for it, only at detach or exit. A child of "
        "fork gets what the process's own space has, and not what was first touched inside. A page "
        "that the process and its views show stays one page when a fork makes it copy-on-write.",
    ),
    "Who may be in a VAS at the same time (--vas-sharing)": (
        "attach (default): one writer alone or any number of readers, decided when something is "
        "attached and held until it is detached; EBUSY for a caller that comes too late.",
        "switch: any process may attach. vas_switch takes the reader/writer lock of every "
        "lockable segment (vas_seg_ctl) in the order of their ids, having given up those of the "
        "VAS that it leaves, and sleeps until it has them; only SIGKILL ends that sleep. Threads "
        "get a lock in the order in which they came, but a reader waits for writers only. A "
        "thread that is made inside is in the same critical section. Switching away, exit, exec "
        "and death by a signal release them.",
    ),
    "What the RFC left open": (
        "A signal handler runs in the view that the signal found, unless that has a gate. The "
        "frame remembers the view, so a handler may switch, and its return leads back; if the VAS "
        "is not attached any more, or has a gate, the return is a SIGSEGV. A VAS that was made "
        "later with the same id is another one.",
        "fork copies the process's own memory and nothing of a VAS: the child is at home with "
        "nothing attached. If its code or stack was in the VAS, it faults at once.",
        "vfork borrows the parent's view until exec or exit. A thread made inside a VAS starts "
        "there.",
        "exec and exit switch back and detach everything; a VAS and a segment stay until deleted.",
        "A thread whose stack was mapped inside a VAS faults at its first push after it has "
        "switched away: it must change to a stack of its process first.",
        "Two processes with their stacks at one place share a VAS without harm, since each view "
        "shows its own process's stack. A segment in that place is a layout conflict.",
        "malloc takes memory by brk, which is the process's in every view, or by mmap, which is "
        "the VAS's when it is made inside: its lists are lost to others. A vas_heap (vas.h) keeps "
        "its lists in the segment that it manages.",
        "A futex is known by the memory that it lies in, so in a segment it is one futex in every "
        "process and every view.",
        "Who pays: every frame of a VAS, of its tables, and of a segment is charged to its owner, "
        "dead or alive, up to --vas-limit (root has none). At the limit calls answer ENOMEM, and "
        "a touch kills the process, as it does when memory is short. Of the 65,535 ids of each "
        "kind a user owns 32,767 at most, VASes and segments together.",
    ),
    "What a compartment stops, and what a gate adds": (
        "A VAS that is not switched to stops stray pointers: its memory is not there at home. It "
        "does not stop code that was hijacked, which can call vas_switch itself.",
        "A gate (vas_entry) is an address where every switch into the VAS goes on: of any thread, "
        "in any process, through an attachment that was made before or after. The owner may give "
        "itself rights back and attach anew, or clone the VAS: the gate is there as well.",
        "The gate must lie in private memory that was mapped inside, whatever its rights are for "
        "the moment. Nobody outside can write, protect or unmap that. A segment, a file, and the "
        "process's own memory will not do: EACCES.",
        "No signal handler runs behind a gate. A signal that has one waits until the thread is "
        "home; a signal that ends or stops the process does so at once. A gate that faults, or "
        "whose page cannot be fetched, ends: its caller's vas_switch answers EFAULT, and the "
        "signal comes at home, with the caller's registers and no address. A forged signal frame "
        "leads nowhere.",
        "The registers at a gate are the caller's, but for rflags. When the gate calls "
        "vas_switch(0), its next instruction is usually not there any more; then its caller goes "
        "on, with the registers that it had and the result 0.",
        "What a gate does not stop. Root. A segment of the VAS that is attached elsewhere: keep a "
        "secret in memory that was mapped inside, or take the rights on the segment away. A gate "
        "that trusts what is outside: a stack, a function or data of the process can be changed "
        "by its other threads while the gate runs. An end at any moment: SIGKILL, or a fault that "
        "another thread brings about by unmapping what the gate reads, leaves memory inside "
        "half-changed. When a thread dies behind a gate, the kernel marks the futexes that its "
        "robust list names. What a gate takes in time, or leaves in vector registers, is seen.",
    ),
    "What outlives the power (run.py exec --nvm FILE[:MIB])": (
        "VAS_PERSISTENT (0x10000) in the mode of vas_create, vas_seg_create or setattr makes a VAS "
        "or a segment persistent: its memory is in the NVM module, and its name, id, rights, "
        "layout and contents are there after a reboot on the same file. setattr without the bit "
        "brings it back to DRAM. Both ways need that nothing has it attached. What is attached, "
        "locked or inside is not kept.",
        "Changes of names, rights and layout are durable when the call returns, each whole or not "
        "at all, and in the order of the calls. Memory is given out when an object is made or "
        "mapped: ENOSPC or ENOMEM then, and never at a fault.",
        "A store is durable once its line of 64 bytes was flushed (CLWB, CLFLUSHOPT, CLFLUSH) and "
        "the same core has fenced (SFENCE, MFENCE), or after msync with MS_SYNC. What was not "
        "flushed may or may not survive a power cut, each line by itself. At the end of a run, "
        "also by Ctrl-C, the machine writes everything back. CPUID does not name CLWB: it is there "
        "where there is NVM.",
        "In a persistent VAS there is anonymous memory, and there are persistent segments. Files, "
        "stacks that grow and other segments are EOPNOTSUPP. Under --vas-sync rfc no VAS is "
        "persistent.",
        "/nvm holds files and folders that outlive the power: the rival without VASes. Every file "
        "there is mapped as it is, so MAP_SHARED_VALIDATE | MAP_SYNC is granted, and a line that "
        "was flushed and fenced is durable. Elsewhere it is EOPNOTSUPP. fsync makes durable what "
        "write stored. Links by name (symlink) and devices are EPERM.",
        "`run.py nvm` makes, checks, repairs and lists such files; --power-cut AT[:SEED] cuts the "
        "power at the AT-th persistent write. A file serves one machine at a time. With --pdb it "
        "stays as it is, and so it does in a run that was resumed at an earlier moment.",
        "Metadata has checksums, contents of pages have none.",
    ),
    "Programs that were written for the RFC": (
        "linux/vas.h is the header of the RFC's kernel: the numbers, as __NR_vas_create and so on, "
        "struct vas_attr and struct vas_seg_attr. A program that makes the calls by syscall(2), or "
        "a library that does and its users, needs no change but to be built again.",
        "With our C library: run.py cc client.c library.c -I include -o client. C++ (.cc, .cpp, "
        ".cxx) goes the same way. It has pthread.h and semaphore.h, and no C++ standard library.",
        "With another C library, statically: zig cc -target x86_64-linux-musl -static -idirafter "
        "userland/include client.c library.c. So that library's own headers come first, and only "
        "linux/vas.h is ours.",
        "A mode is no type: S_IRWXU | S_IRWXG has O_RDONLY in its lowest two bits. The VAS is then "
        "attached for reading, and the process's own memory can be written inside as before.",
        "The RFC author's library (mvas/vas.h, mvas/segment.h, 2017) sets errno to the negated "
        "result of syscall(2). But syscall(2) has set errno already and answered -1, so each "
        "failure reads there as errno 1, EPERM. Look at the kernel's answer with --strace.",
        "That author's vas_fork and vas_exec, which came after the RFC, are not here: no number "
        "leads to them.",
    ),
    "Where this is not what the RFC does": (
        "The numbers are 1000 + the RFC's. pid 0 is the caller.",
        "vas_seg_attach and vas_seg_detach take vid 0, the process's own space.",
        "Attaching to or detaching from another user's process is EACCES, unless by root.",
        "setattr needs the owner or root; only root changes the owner, and the group only to "
        "one's own; else EACCES. vas_seg_detach needs write on the VAS.",
        "vas_detach is EBUSY while any thread is inside, not just the caller, and EACCES where the "
        "VAS has a gate.",
        "Through an attachment for reading nobody maps, unmaps or protects the VAS's memory: "
        "EACCES. On x86 what may be written may be read, so O_WRONLY shows as O_RDWR does.",
        "A segment's pages are sealed, as by mseal(2): munmap, mprotect and mmap over them are "
        "EPERM.",
        "mmap with MAP_FIXED where an attached view shows something else is EFAULT, with "
        "MAP_FIXED_NOREPLACE it is EEXIST; brk stays where it is; a stack does not grow there.",
        "Too many attachments (65,535 of one VAS, segment or process) are EBUSY.",
        "Under subtree and forward, vas_switch and vas_detach never answer EFAULT.",
        "A layout conflict is EFAULT, and the kernel's log and the trace name the two regions.",
        "/sys/kernel/vas/ID has besides the RFC's files attached, resident, segments; vas_segs/ID "
        "has attached, resident and lockable. In /proc/PID/vas/VID/maps, v marks what is the "
        "VAS's and a what is the process's.",
    ),
}
"""What `run.py manual vas` prints in front of the calls."""
