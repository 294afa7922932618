"""The table of system calls.  Each call is declared once, by the handler that serves it.

    @syscall(9)
    def mmap(k: Kernel, t: Thread, addr: Ptr, length: Size, ...) -> int:
        "Map length bytes ..."

The declaration is the number, the handler's name, the types of its arguments and its docstring.
The dispatcher, strace, the manual, the C header and the header of a trace are made from it.

A handler returns the result for RAX, or None if it has replaced the thread's registers.  It raises
`KernelError` to return an errno.  It raises `Blocked` to wait; when the thread is woken, the kernel
executes the handler again from its start.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """How a 64-bit register becomes an argument, and what C calls the type."""

    c_name: str
    bits: int = 64
    signed: bool = False
    string: bool = False
    names_a_task: bool = False
    """A process or thread, or negated a group: a restarted program means its own by old ids."""

    def decode(self, register: int) -> int:
        """The value that a C function with this argument type would see."""
        value = register & (1 << self.bits) - 1
        if self.signed and value >> self.bits - 1:
            value -= 1 << self.bits
        return value


Int = Annotated[int, ArgumentType("int", 32, signed=True)]
Fd = Annotated[int, ArgumentType("fd", 32, signed=True)]
Pid = Annotated[int, ArgumentType("pid_t", 32, signed=True, names_a_task=True)]
Id = Annotated[int, ArgumentType("id_t", 32)]
Flags = Annotated[int, ArgumentType("unsigned", 32)]
Long = Annotated[int, ArgumentType("long", 64, signed=True)]
Size = Annotated[int, ArgumentType("size_t")]
Ptr = Annotated[int, ArgumentType("void *")]
Path = Annotated[int, ArgumentType("const char *", string=True)]
"""The address of a NUL-terminated string; strace shows the string."""

CORE = "core"

Argument = tuple[str, ArgumentType]
"""Name and type."""


@dataclass(frozen=True, slots=True)
class SystemCall:
    """A row of the table."""

    number: int
    name: str
    arguments: tuple[Argument, ...]
    doc: str
    handler: Callable[..., int | None]
    owner: str = CORE
    """"core", or the server that the core passes the call to."""
    stops_guest: bool = False
    """The handler reads or replaces registers, so the guest must stand still."""
    restarts: bool = True
    """After a handler with SA_RESTART the call starts anew.  False: it ends with EINTR."""
    restarts_timed: bool = True
    """So does a call that has a deadline."""
    ended_by_stop: bool = False
    """A stop and SIGCONT end the call with EINTR, though no handler ran (signal(7))."""
    has_strings: bool = field(init=False)
    invoke: Callable[..., int | None] = field(init=False)
    """Takes the kernel, the thread and a tuple of the six argument registers, and calls the handler
    with them decoded."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_strings", any(kind.string for _, kind in self.arguments))
        object.__setattr__(self, "invoke", _invoker(self.handler, self.arguments))

    def prototype(self) -> str:
        """`munmap(void *addr, size_t length)`."""
        declared = (f"{kind.c_name} {name}".replace("* ", "*") for name, kind in self.arguments)
        return f"{self.name}({', '.join(declared) or 'void'})"

    def decode(self, registers: tuple[int, ...]) -> list[int]:
        return [kind.decode(r) for (_, kind), r in zip(self.arguments, registers, strict=False)]


TABLE: dict[int, SystemCall] = {}

Handler = typing.TypeVar("Handler", bound=Callable[..., int | None])


def syscall(
    number: int,
    *,
    owner: str = CORE,
    stops_guest: bool = False,
    restarts: bool = True,
    restarts_timed: bool = True,
    ended_by_stop: bool = False,
) -> Callable[[Handler], Handler]:
    """Declare the decorated handler as system call `number`; `SystemCall` explains the rest."""

    def declare(handler: Handler) -> Handler:
        if number in TABLE:
            raise ValueError(f"system call {number} is declared twice")
        TABLE[number] = SystemCall(
            number=number,
            name=handler.__name__.strip("_"),
            arguments=tuple(_arguments(handler)),
            doc=handler.__doc__ or "",
            handler=handler,
            owner=owner,
            stops_guest=stops_guest,
            restarts=restarts,
            restarts_timed=restarts_timed,
            ended_by_stop=ended_by_stop,
        )
        return handler

    return declare


def _invoker(
    handler: Callable[..., int | None], arguments: tuple[Argument, ...]
) -> Callable[..., int | None]:
    decoders = [kind.decode for _, kind in arguments]
    if not decoders:
        return lambda kernel, thread, registers: handler(kernel, thread)
    tasks = {place for place, (_, kind) in enumerate(arguments) if kind.names_a_task}
    if tasks:
        return lambda kernel, thread, registers: handler(
            kernel,
            thread,
            *[
                thread.process.meant(decode(r)) if place in tasks else decode(r)
                for place, (decode, r) in enumerate(zip(decoders, registers, strict=False))
            ],
        )
    return lambda kernel, thread, registers: handler(
        kernel, thread, *[decode(r) for decode, r in zip(decoders, registers, strict=False)]
    )


def _arguments(handler: Callable[..., Any]) -> list[Argument]:
    """The arguments of a handler behind the kernel and the thread."""
    names = list(handler.__annotations__)[2:-1]
    kinds = []
    for name in names:
        alias = globals()[handler.__annotations__[name]]
        kinds.append((name, typing.get_args(alias)[1]))
    return kinds
