"""What the manual says about virtual address spaces beyond the single calls."""

from __future__ import annotations

from kernel.syscalls.restart_notes import NOTES as RESTART

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
        "A signal handler runs in the view that the signal found, unless that has a gate, or the "
        "handler's stack a view of its own (vas_sigaltstack). The frame remembers the view, so a "
        "handler may switch, and its return leads back; if the VAS is not attached any more, or "
        "has a gate, the return is a SIGSEGV. A VAS that was made later with the same id is "
        "another one.",
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
    "Segments as files (/segs)": (
        "/segs/NAME is a segment: its memory, its mode, owner and group, its size. ls, stat, "
        "chmod, chown, read, write and mmap work as on any file; so nothing but open(2) and "
        "mmap(2) is needed to use one. A name that is no file's name (empty, a dot, two dots, or "
        "with a slash) has no file.",
        "mmap(NULL, ...) of it lands at the segment's own address, so pointers into it hold. "
        "EEXIST: something is there already, in this space or in a view that would have to show "
        "both. A hint is only a hint; MAP_FIXED replaces what is there, and must ask for the "
        "segment's own address; elsewhere, or past the end, EINVAL. With an offset it lands as "
        "many bytes further. MAP_PRIVATE is a private copy, at the same address.",
        "vas_seg_create makes segments, because open(2) states no bounds: O_CREAT of a new name "
        "is EPERM, as is rename. The size stays: ftruncate to another one is EPERM, O_TRUNC does "
        "nothing, and a write at the end is ENOSPC; at the owner's limit it is ENOMEM. A segment "
        "has no times: stat(2) tells those of the question.",
        "unlink is vas_seg_delete: EBUSY while it is attached, EACCES without write on the "
        "segment itself. A mapping does not keep the name, but it keeps the memory, as that of an "
        "unlinked file, and whoever owned the segment pays until the last one goes. An open file "
        "of a deleted segment is ENODEV, also if a new segment has the name.",
        "A mapping is no attachment. It is not counted by the sharing rule, it takes no lock, "
        "even of a lockable segment that a thread inside a VAS holds alone, and it keeps nobody "
        "out: who maps must agree on a lock of their own, such as a futex in the segment. fork "
        "gives it to the child; munmap, mprotect and mremap work on it. Rights are looked at when "
        "it is opened, and chmod later does not take a mapping away. Keep a segment that locks "
        "must protect at a mode that lets nobody else open it.",
    ),
    "A view that shows nothing of the process (vas_attach_bare)": (
        "A bare attachment shows what the VAS has, and of the process nothing: neither code nor "
        "stack nor heap. The process and the VAS may have other things at one address, so there "
        "is no layout conflict. It is a call of its own, and not a bit of `type` in vas_attach, "
        "because the RFC masks that with O_ACCMODE and programs pass whole modes there.",
        "The program brings what it needs. vas_switch keeps the registers, so the next "
        "instruction must lie in the VAS, at its own address: a page of code that both show, the "
        "trampoline, such as one memfd mapped in both. The stack must be there before the first "
        "push. Segments can be attached beforehand; to map anything else, the program goes inside "
        "once by vas_attach, and detaches. See the program vas_trampoline.",
        "A fault in such a view that ends the process is explained in the kernel's log: no code "
        "there, no stack there, or memory that is the process's. Pointers that system calls get "
        "are read and written in the view, so they must lead into the VAS: EFAULT. What is mapped "
        "inside is the VAS's; brk does nothing.",
        "A signal handler runs in the view that the signal found. Inside, its code must be in the "
        "VAS, and so must the stack: else SIGSEGV. vas_sigaltstack leads handlers home, or into "
        "another VAS.",
        "fork inside gives a child that is at home, with nothing attached: where its next "
        "instruction is not at home, it dies. A thread that is made inside starts inside. exec "
        "needs its arguments inside, and then is at home. When a thread ends inside, its robust "
        "list and the word that a join waits for are looked up at home. vas_detach is EBUSY while "
        "any thread is inside. All sync and sharing policies serve it; under rfc what is mapped "
        "inside reaches the VAS at detach, as ever.",
        "With VAS_SIGSYS in `type`, a system call that is made inside does nothing but raise "
        "SIGSYS, with si_code SYS_USER_DISPATCH (2), si_call_addr behind the instruction, and the "
        "number in si_syscall and rax, as PR_SET_SYSCALL_USER_DISPATCH has it on Linux. So the "
        "code inside cannot switch, map or fork by itself; who has the handler decides. Without "
        "one the process ends.",
    ),
    "Signal stacks in a view of their own (vas_sigaltstack)": (
        "struct vas_stack is stack_t with a view: sp, flags, vid, size. vid is a VAS that the "
        "process has attached; 0 is home; -1, as by sigaltstack, is the view that the signal "
        "finds. Like the stack, it belongs to one thread.",
        "A signal whose action has SA_ONSTACK switches its thread to that view, unless it runs on "
        "the stack already, and the handler runs there. Its code must be there as well: in a view "
        "that shows the process it is. rt_sigreturn leads back to the view that the signal found. "
        "A signal that comes while the handler runs finds the thread there, and nests on the same "
        "stack.",
        "The program can reach the stack, and what the handler keeps beside it, by a switch only: "
        "stray pointers do not. Code that was hijacked can switch, as ever. A VAS with a gate "
        "takes no handlers: EINVAL.",
        "siglongjmp out of a handler restores registers and mask, and not the view, as it does "
        "not leave an alternate stack by any other means either: the program goes on inside, and "
        "calls vas_switch. A thread that ends in a handler leaves the view. exec forgets the "
        "stack; fork too, where it is in a VAS, since the child has nothing attached. A new "
        "thread has none.",
        "If the VAS is not attached any more, or another one has the id by now, the signal cannot "
        "be delivered, as on a stack that was unmapped: SIGSEGV. If it was the view that the "
        "signal found, the return is the SIGSEGV; a thread inside keeps its VAS attached, so this "
        "takes another thread's detach while the handler runs elsewhere.",
        "The frame says where it leads: the first two of the reserved words of mcontext_t are a "
        "struct vas_place, the VAS and the id of its space, which never comes again. A handler "
        "may change them, and so choose where its return leads; space 0 stands for whatever VAS "
        "has the id. What is not attached, or has a gate, is SIGSEGV: a forged frame leads "
        "nowhere that vas_switch would not. The padding of uc_stack is the vid of the signal "
        "stack, and 1.",
        "Under the sharing policy switch a visit takes no lock and gives none up: the critical "
        "section that a signal interrupts goes on. So a view with lockable segments cannot hold a "
        "signal stack: EBUSY. A handler that calls vas_switch gives the locks up; the return "
        "waits for them again.",
    ),
    "A kernel in user space (the program skas)": (
        "User-mode Linux ran its guests' processes in address spaces of their own with a patch "
        "called SKAS; the thread asked whether VASes would serve. The program skas is such a "
        "kernel, in 250 lines: each guest is a VAS, attached bare with VAS_SIGSYS; the kernel's "
        "signal stack is at home (vas_sigaltstack, vid 0). A guest's system calls, faults and the "
        "timer's signals lead to the kernel; it saves the registers from the frame, writes those "
        "of the next guest there, with its vas_place, and returns. There is no ptrace, and a "
        "guest has no call of its own.",
        "Guests have the same addresses, and see neither each other nor the kernel. What one "
        "touches that is not its own is a SIGSEGV that the kernel gets. A guest that spins loses "
        "the processor to setitimer. Memory that guests are to share is mapped in the VASes of "
        "both, such as a memfd or /segs/NAME.",
        "What a switch from guest to guest costs: about 2,480 modelled cycles (run.py exec skas "
        "switch), beside some 440 for vas_switch alone. The rest is a signal: two entries into "
        "the kernel, two loads of CR3 instead of one, the frame of about 1,000 bytes that is "
        "written and read, and the kernel's own copies.",
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
        "That author's vas_fork and vas_exec, which came after the RFC, are 1348 and 1349.",
    ),
    **RESTART,
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
