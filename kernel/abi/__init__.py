"""What the kernel has agreed with others: with programs, and with its servers.

Here are error numbers, values of files and of ioctl requests as Linux has them, and messages.
This floor holds numbers and plain records only, and imports nothing else of the kernel.  A server
may know nothing but this.
Its face: `errno.E` and `errno.KernelError`, `message.Message` and `message.Reply`, `nodes.Stat`.
"""
