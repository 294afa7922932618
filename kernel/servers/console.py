"""The console server: descriptors 0, 1 and 2 of the first program lead here, and /dev/tty.

The badge is the stream: 0 input, 1 output, 2 errors, 3 the terminal itself.  A stream that is no
terminal on the host is none here: bytes as they are.  Those that are, are one terminal with one
line discipline and one session that it controls (ioctl_tty(2), credentials(7), termios(3)).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply
from kernel.abi.nodes import POLLHUP, POLLIN, POLLOUT, S_IFCHR, Stat, makedev
from kernel.servers import termios
from kernel.servers.discipline import Discipline
from kernel.servers.termios import Settings

INPUT, OUTPUT, ERRORS, TERMINAL = range(4)
STREAMS = (INPUT, OUTPUT, ERRORS, TERMINAL)
NAMES = (b"/dev/console", b"/dev/console", b"/dev/console", b"/dev/tty")
SIGHUP, SIGCONT, SIGTTIN, SIGTTOU, SIGWINCH = 1, 18, 21, 22, 28
O_NOCTTY = 0o400
TENTH = 100_000_000
"""Nanoseconds: the unit of VTIME."""
LATE = 10_000_000
"""A reader that comes back so long after its time was up is another one."""
CHANGES = (
    *(termios.TCSETS, termios.TCSETSW, termios.TCSETSF, termios.TCFLSH, termios.TCSBRK),
    *(termios.TCXONC, termios.TIOCSPGRP),
)
"""Requests that a process in the background may not make."""
_WINDOW = struct.Struct("<HHHH")
_INT = struct.Struct("<i")


@dataclass(slots=True)
class Console:
    """`session` is the one that the terminal controls, `group` its foreground process group.

    `deadlines`: until when, by VTIME, a process waits for a key; `typed` is when one came last.
    """

    name: str = "console"
    discipline: Discipline = field(default_factory=Discipline)
    session: int = 0
    group: int = 0
    window: tuple[int, int, int, int] = (24, 80, 0, 0)
    hung_up: bool = False
    typed: int = 0
    deadlines: dict[int, int] = field(default_factory=dict)

    def handle(self, message: Message, port: Port) -> Reply:
        match message.operation:
            case "write":
                return self._write(message, port)
            case "read":
                return Reply(data=self._read(message, port))
            case "poll":
                return Reply(self._ready(message.badge, port))
            case "ioctl":
                if not port.console_is_terminal(message.badge):
                    raise KernelError(E.NOTTY)
                return self._control(message, port)
            case "stat":
                device = makedev(5, 0 if message.badge == TERMINAL else 1)
                return Reply(words=Stat(6, 1, S_IFCHR | 0o620, 1, 0, 0, device, *[0] * 5))
            case "open":
                return self._open(message, port)
            case "path":
                return Reply(data=NAMES[message.badge])
            case "close":
                return Reply()
            case "adopt":
                self.session, self.group = message.words
                return Reply()
            case "session_end":
                return self._end_session(message.words[0], port)
        raise KernelError(E.INVAL)

    def restarted(self) -> Console:
        """Whom the terminal belongs to and how it is set are not forgotten; keys are."""
        fresh = Console(session=self.session, group=self.group, window=self.window)
        fresh.discipline.settings = self.discipline.settings
        fresh.hung_up = self.hung_up
        return fresh

    # Bytes ------------------------------------------------------------------------------------

    def _read(self, message: Message, port: Port) -> bytes:
        count = message.words[0]
        if not port.console_is_terminal(message.badge):
            data = port.console_read(count)
            if data is None:
                raise KernelError(E.AGAIN)
            return data
        self._stay_in_foreground(message, port, SIGTTIN)
        if self.hung_up or not count:
            return b""
        if not self._may_return(message, count, port):
            raise KernelError(E.AGAIN)
        self.deadlines.pop(message.pid, None)
        data = self.discipline.read(count)
        if self.discipline.has_input():
            self._changed(port)
        return data

    def _may_return(self, message: Message, count: int, port: Port) -> bool:
        """Is there enough to read, or is the time of VMIN and VTIME over?"""
        discipline = self.discipline
        if discipline.enough(count):
            return True
        time = discipline.settings.characters[termios.TIME] * TENTH
        if not time or discipline.settings.local & termios.ICANON:
            return False
        if discipline.settings.characters[termios.MIN]:  # the time between two keys
            deadline = self.typed + time
            waits = discipline.has_input()
        else:
            deadline = self.deadlines.get(message.pid, 0)
            if port.now() > deadline + LATE:
                deadline = self.deadlines[message.pid] = port.now() + time
            waits = True
        if waits and port.now() >= deadline:
            return True
        if waits:
            port.ring(message.badge, deadline)
        return False

    def _write(self, message: Message, port: Port) -> Reply:
        data, badge = message.data, message.badge
        if self._is_ours(badge, port):
            if self.discipline.settings.local & termios.TOSTOP:
                self._stay_in_foreground(message, port, SIGTTOU)
            if self.hung_up:
                raise KernelError(E.IO)
            if self.discipline.held:
                raise KernelError(E.AGAIN)
            data = self.discipline.process(data)
        port.console_write(data, badge)
        return Reply(len(message.data))

    def _is_ours(self, badge: int, port: Port) -> bool:
        """Does the discipline stand between this stream and the screen?"""
        return port.console_is_terminal(badge) and port.console_is_terminal(INPUT)

    def _ready(self, badge: int, port: Port) -> int:
        if not port.console_is_terminal(badge):
            return POLLOUT | (POLLIN if port.console_waits() else 0)
        if self.hung_up:
            return POLLIN | POLLOUT | POLLHUP
        minimum = self.discipline.settings.characters[termios.MIN]
        if self.discipline.settings.local & termios.ICANON or not minimum:
            readable = self.discipline.has_input()
        else:
            readable = self.discipline.enough(minimum)
        return (0 if self.discipline.held else POLLOUT) | (POLLIN if readable else 0)

    def _changed(self, port: Port) -> None:
        for badge in STREAMS:
            port.changed(badge)

    # What the keyboard does -------------------------------------------------------------------

    def interrupt(self, port: Port) -> None:
        """Input has arrived, or the window has another size."""
        if port.console_is_terminal(INPUT):
            size = port.console_size()
            if size is not None and size != self.window[:2]:
                self._resize((*size, 0, 0), port)
            while data := port.console_read(4096):
                self._type(data, port)
            if data == b"" and not self.hung_up:
                self.hung_up = True
                self._hang_up(port)
        self._changed(port)

    def _type(self, data: bytes, port: Port) -> None:
        self.typed = port.now()
        shown, signals = self.discipline.receive(data)
        if shown:
            port.console_write(shown, TERMINAL)
        for signal in signals:
            if self.group:
                port.signal_group(self.group, signal)

    def _resize(self, window: tuple[int, int, int, int], port: Port) -> None:
        self.window = window
        if self.group:
            port.signal_group(self.group, SIGWINCH)

    # Job control ------------------------------------------------------------------------------

    def _stay_in_foreground(self, message: Message, port: Port, signal: int) -> None:
        """A process of the session that is in the background is stopped.

        One that takes no notice of the signal may write, but not read (EIO); nor may one of a
        group that nobody could continue.
        """
        if message.session != self.session or message.group == self.group or not self.session:
            return
        if port.takes_no_notice(message.pid, signal):
            if signal == SIGTTIN:
                raise KernelError(E.IO)
            return
        if port.is_orphaned(message.group):
            raise KernelError(E.IO)
        port.signal_group(message.group, signal)
        raise KernelError(E.AGAIN)

    def _open(self, message: Message, port: Port) -> Reply:
        """A leader without a terminal gets this one by opening it, if nobody has it."""
        if message.badge == TERMINAL and (not self.session or message.session != self.session):
            raise KernelError(E.NXIO)
        leads = message.pid == message.session
        free = not self.session and port.console_is_terminal(message.badge)
        if leads and free and message.words and not message.words[0] & O_NOCTTY:
            self.session, self.group = message.session, message.group
        return Reply(words=(message.badge, 0, 0))

    def _end_session(self, session: int, port: Port) -> Reply:
        """Its leader has ended: the terminal is free, and who was in the foreground is told."""
        if session and session == self.session:
            self._hang_up(port)
            self.session = self.group = 0
        return Reply()

    def _hang_up(self, port: Port) -> None:
        if self.group:
            port.signal_group(self.group, SIGHUP)
            port.signal_group(self.group, SIGCONT)

    # Requests ---------------------------------------------------------------------------------

    def _control(self, message: Message, port: Port) -> Reply:
        request, argument = message.words
        if request in CHANGES:
            self._stay_in_foreground(message, port, SIGTTOU)
        match request:
            case termios.TCGETS:
                return Reply(data=self.discipline.settings.pack())
            case termios.TCSETS | termios.TCSETSW | termios.TCSETSF:
                if request == termios.TCSETSF:
                    self.discipline.flush_input()
                self.discipline.set(Settings.unpack(message.data))
                self._changed(port)
            case termios.TIOCGWINSZ:
                return Reply(data=_WINDOW.pack(*self.window))
            case termios.TIOCSWINSZ:
                if _WINDOW.unpack(message.data) != self.window:
                    self._resize(_WINDOW.unpack(message.data), port)
            case termios.FIONREAD:
                return Reply(data=_INT.pack(self.discipline.waiting()))
            case termios.TIOCOUTQ:
                return Reply(data=_INT.pack(0))
            case termios.TCFLSH:
                self._flush(argument)
            case termios.TCXONC:
                self._hold(argument, port)
            case termios.TCSBRK:
                pass  # there is no line to break
            case _:
                return self._control_session(message, port)
        return Reply()

    def _flush(self, queue: int) -> None:
        if not 0 <= queue <= 2:
            raise KernelError(E.INVAL)
        if queue != 1:
            self.discipline.flush_input()

    def _hold(self, action: int, port: Port) -> None:
        """tcflow(3): suspend or restart output; input that nobody sends needs no stopping."""
        if not 0 <= action <= 3:
            raise KernelError(E.INVAL)
        if action < 2:
            self.discipline.held = action == 0
            self._changed(port)

    def _control_session(self, message: Message, port: Port) -> Reply:
        """Requests on whom the terminal controls."""
        request, own = message.words[0], bool(self.session) and message.session == self.session
        if request == termios.TIOCSCTTY:
            return self._take(message)
        if request not in (
            *(termios.TIOCGPGRP, termios.TIOCSPGRP, termios.TIOCGSID),
            termios.TIOCNOTTY,
        ):
            raise KernelError(E.NOTTY)
        if not own:
            raise KernelError(E.NOTTY)
        if request == termios.TIOCSPGRP:
            return self._put_in_foreground(_INT.unpack(message.data)[0], port)
        if request == termios.TIOCNOTTY:
            return self._end_session(message.pid, port)
        number = self.group if request == termios.TIOCGPGRP else self.session
        return Reply(data=_INT.pack(number))

    def _take(self, message: Message) -> Reply:
        """TIOCSCTTY: only a leader without a terminal, or root by force, gets it."""
        if message.session == self.session and message.pid == message.session:
            return Reply()
        forced = message.uid == 0 and message.words[1] == 1
        if message.pid != message.session or (self.session and not forced):
            raise KernelError(E.PERM)
        self.session, self.group = message.session, message.group
        return Reply()

    def _put_in_foreground(self, group: int, port: Port) -> Reply:
        if group < 0:
            raise KernelError(E.INVAL)
        session = port.session_of(group)
        if not session:
            raise KernelError(E.SRCH)
        if session != self.session:
            raise KernelError(E.PERM)
        self.group = group
        return Reply()
