"""The kernel's interfaces: to programs, and to its servers.

Here are Linux's error numbers, values of files and ioctl requests, and the messages to servers.
This floor holds only numbers and plain records.  It imports nothing else of the kernel.  A server
may import only this floor.
Its face: `errno.E` and `errno.KernelError`, `message.Message` and `message.Reply`, `nodes.Stat`.
"""
