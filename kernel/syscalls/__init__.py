"""The table of system calls.  Each is declared once, as the handler that serves it.

    @syscall(9)
    def mmap(k: Kernel, t: Thread, addr: Ptr, length: Size, ...) -> int:
        "Map length bytes ..."

The number, the handler's name, the types of its arguments and its docstring are all there is;
dispatch, the strace log, the manual, the C header and the trace's header are derived.  A handler
raises `KernelError` for an errno and `Blocked` to wait, and is then executed again.  It returns
the result for RAX, or None if it has replaced the thread's registers.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

_SIGN32, _SIGN64 = 1 << 31, 1 << 63


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """How a 64-bit register becomes an argument, and what it is called in C."""

    c_name: str
    bits: int = 64
    signed: bool = False
    string: bool = False

    def decode(self, register: int) -> int:
        """The value that a C function with this argument type would see."""
        value = register & (1 << self.bits) - 1
        if self.signed and value >> self.bits - 1:
            value -= 1 << self.bits
        return value


Int = Annotated[int, ArgumentType("int", 32, signed=True)]
Fd = Annotated[int, ArgumentType("fd", 32, signed=True)]
Pid = Annotated[int, ArgumentType("pid_t", 32, signed=True)]
Id = Annotated[int, ArgumentType("id_t", 32)]
Flags = Annotated[int, ArgumentType("unsigned", 32)]
Long = Annotated[int, ArgumentType("long", 64, signed=True)]
Size = Annotated[int, ArgumentType("size_t")]
Ptr = Annotated[int, ArgumentType("void *")]
Path = Annotated[int, ArgumentType("const char *", string=True)]
"""The address of a NUL-terminated string; strace shows the string."""

CORE = "core"


@dataclass(frozen=True, slots=True)
class SystemCall:
    """A row of the table.  `owner` is "core" or the server that the core passes the call to;
    `stops_guest`: the handler reads or replaces registers, so the guest must stand still."""

    number: int
    name: str
    owner: str
    arguments: tuple[tuple[str, ArgumentType], ...]
    doc: str
    handler: Callable[..., int | None]
    stops_guest: bool = False
    has_strings: bool = field(init=False)
    invoke: Callable[..., int | None] = field(init=False)
    """Calls the handler with the six argument registers, decoded."""

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
    number: int, *, owner: str = CORE, stops_guest: bool = False
) -> Callable[[Handler], Handler]:
    """Declare the decorated handler as system call `number`."""

    def declare(handler: Handler) -> Handler:
        if number in TABLE:
            raise ValueError(f"system call {number} is declared twice")
        arguments = tuple(_arguments(handler))
        name = handler.__name__.strip("_")
        doc = handler.__doc__ or ""
        TABLE[number] = SystemCall(number, name, owner, arguments, doc, handler, stops_guest)
        return handler

    return declare


def _invoker(
    handler: Callable[..., int | None], arguments: tuple[tuple[str, ArgumentType], ...]
) -> Callable[..., int | None]:
    decoders = [kind.decode for _, kind in arguments]
    if not decoders:
        return lambda kernel, thread, a, b, c, d, e, f: handler(kernel, thread)
    return lambda kernel, thread, *registers: handler(
        kernel, thread, *[decode(r) for decode, r in zip(decoders, registers, strict=False)]
    )


def _arguments(handler: Callable[..., Any]) -> list[tuple[str, ArgumentType]]:
    """Name and type of each argument behind the kernel and the thread."""
    names = list(handler.__annotations__)[2:-1]
    kinds = []
    for name in names:
        alias = globals()[handler.__annotations__[name]]
        kinds.append((name, typing.get_args(alias)[1]))
    return kinds


def load_all() -> None:
    """Import every module that declares calls."""
    from kernel.syscalls import (  # noqa: F401
        credentials,
        descriptors,
        files,
        futex,
        io,
        ipc,
        jobs,
        limits,
        memory,
        poll,
        process,
        residency,
        sched,
        settings,
        signal,
        system,
        time,
        vas,
    )
