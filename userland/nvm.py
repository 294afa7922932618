"""`--nvm`: the file behind an NVM module, from the boot of a machine to its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hw.host import FileImage, UserError
from hw.nvm import ImageFailure, PowerCut
from kernel.boot import Config, plug_in
from kernel.kernel import Kernel
from kernel.nvm.check import formatted
from kernel.nvm.format import SLOT_BYTES, MediumError
from userland.live import Link

MIB = 1 << 20
MOST_MIB = 4096
POWER_CUT_STATUS = 75
"""The exit status of a machine whose power was cut."""


@dataclass
class Module:
    """The module that the options ask for; without an image there is none."""

    image: FileImage | None = None
    cut: tuple[int, int] | None = None
    """The power is cut at this persistent write; the seed of what survives then."""

    def fit(self, config: Config) -> Config:
        """The configuration with a module of the file's size."""
        mib = self.image.size_bytes // MIB if self.image else 0
        return replace(config, machine=replace(config.machine, nvm_mib=mib))

    def plug_in(self, kernel: Kernel) -> None:
        """The machine gets its module.  Raises `UserError`."""
        if self.image is None:
            return
        nvm = kernel.machine.nvm
        try:
            plug_in(kernel, self.image)
        except MediumError as error:
            nvm.image = None
            raise UserError(f"{self.image.path}: {error.text}", error.remedy) from error
        nvm.cut_at = self.cut[0] if self.cut else None

    def state(self) -> dict[str, object]:
        """What a trace's header says of the module: the root slots name its whole metadata."""
        if self.image is None:
            return {}
        roots = (self.image.read(at, SLOT_BYTES).hex() for at in (0, 4096))
        return {"nvm": {"mib": self.image.size_bytes // MIB, "roots": list(roots)}}


@contextmanager
def module_of(options: argparse.Namespace, *, keep: bool = False) -> Iterator[Module]:
    """Open the file that the options name, for one machine.  `keep`: it stays as it is.

    Raises `UserError`, also where the machine ends because the file cannot be used any more.
    """
    if options.nvm is None:
        if options.power_cut:
            raise UserError("--power-cut needs an NVM module", "give one with --nvm FILE")
        yield Module()
        return
    image = open_image(*options.nvm, keep=keep)
    try:
        yield Module(image, options.power_cut)
    except ImageFailure as error:
        raise UserError(str(error), "make room there, or use another file") from error
    finally:
        image.close()


def open_image(path: Path, mib: int | None, *, keep: bool = False) -> FileImage:
    """The file, locked; with a size, it is made if it is not there.  Raises `UserError`."""
    if mib is not None and not path.exists():
        format_file(path, mib)
    image = FileImage(path, ImageFailure, keep=keep)
    size = image.size_bytes
    if not size or size % MIB or size > MOST_MIB * MIB or (mib is not None and size != mib * MIB):
        image.close()
        wanted = f"is not {mib} MiB" if mib is not None else f"has no whole MiB up to {MOST_MIB}"
        raise UserError(
            f"{path} has {size:,} bytes, which {wanted}",
            "a part is missing, or it is no NVM: see `run.py nvm --help`",
        )
    return image


def format_file(path: Path, mib: int) -> None:
    """Make an empty module in a new file.  Raises `UserError`."""
    if not 1 <= mib <= MOST_MIB:
        raise UserError(f"a module has 1 to {MOST_MIB} MiB, not {mib}", "choose another size")
    try:
        with path.open("xb") as file:
            file.truncate(mib * MIB)
            file.write(formatted(mib * MIB // 4096))
    except FileExistsError as error:
        raise UserError(f"{path} exists", "remove it first, or name another file") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another file") from error


@contextmanager
def powered(module: Module, kernel: Kernel, link: Link | None = None) -> Iterator[None]:
    """Run a machine.  An orderly end, Ctrl-C too, writes the caches back.

    Raises SystemExit when the power was cut: then only what is durable survives, and some of the
    rest.
    """
    try:
        yield
    except PowerCut as cut:
        kernel.machine.nvm.lose_power(module.cut[1] if module.cut else 0)
        print(f"{cut}: what was not flushed may or may not have survived", file=sys.stderr)
        raise SystemExit(POWER_CUT_STATUS) from cut
    except (KeyboardInterrupt, SystemExit, UserError):
        _power_down(module, kernel, link)
        raise
    _power_down(module, kernel, link)


def _power_down(module: Module, kernel: Kernel, link: Link | None) -> None:
    if module.image is None:
        return
    if getattr(link, "kernel", kernel) is kernel:
        kernel.machine.nvm.write_back()
    else:
        print(f"{module.image.path} keeps what it had when the run went back", file=sys.stderr)


def add_nvm(parser: argparse.ArgumentParser) -> None:
    """The options for a module."""
    group = parser.add_argument_group("non-volatile memory")
    group.add_argument(
        "--nvm",
        type=_module,
        metavar="FILE[:MIB]",
        help="a module whose durable side is FILE; with a size, FILE is made if need be",
    )
    group.add_argument(
        "--power-cut",
        type=_cut,
        metavar="AT[:SEED]",
        help="cut the power at the AT-th persistent write; SEED decides what survives",
    )


def _module(text: str) -> tuple[Path, int | None]:
    name, colon, size = text.rpartition(":")
    if colon and size.isascii() and size.isdigit():
        return Path(name), int(size)
    return Path(text), None


def _cut(text: str) -> tuple[int, int]:
    at, _, seed = text.partition(":")
    if not (at.isascii() and at.isdigit() and int(at)) or (seed and not seed.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not AT[:SEED], such as 100 or 100:7")
    return int(at), int(seed or 1)
