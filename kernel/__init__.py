"""The microkernel: frames, page tables, address spaces, threads, IPC, traps.  `README.md` first."""
