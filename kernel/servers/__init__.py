"""Servers: files, pipes, sockets, the terminal, /dev, /proc, /sys, names.

A server sees messages and its port, never the kernel: it imports `kernel.abi` and other servers
only.  Its state is plain data, so it can crash and be started again while its files stay open.
It answers at once, and -EAGAIN says "not yet"; only the core lets threads wait.
The face is the class of each server, which `kernel.boot` attaches: `files.Files`, `pipes.Pipes`,
`sockets.Sockets`, `console.Console`, `devices.Devices`, `proc.Proc`, `sysfs.Sysfs`,
`names.Names`, `system.System`.
"""
