"""Build the programs of this folder, or a C file of your own, with one pinned compiler.

The compiler is Zig's C front end from the PyPI package `ziglang`: the same on every host, no
tool chain to install, and the same bytes out wherever it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

ZIGLANG = "ziglang==0.15.2"
HERE = Path(__file__).resolve().parent

COMPILE_FLAGS = (
    "-target", "x86_64-freestanding-none", "-mcpu=x86_64",  # SSE2 and nothing newer
    "-std=gnu17", "-ffreestanding", "-isystem", str(HERE / "include"),
    "-O1", "-fno-inline-functions", "-fno-unroll-loops", "-fno-vectorize", "-fno-slp-vectorize",
    "-gdwarf-5", "-gno-column-info", "-gline-tables-only", "-fno-omit-frame-pointer",
    "-UNDEBUG",  # Zig would switch assert() off
    "-fno-sanitize=all", "-fno-stack-protector",  # no checks that need a run-time library
    "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
    "-ffunction-sections", "-fdata-sections", "-ftls-model=local-exec",
    # The same bytes from every folder:
    f"-ffile-prefix-map={HERE}=userland", "-fdebug-compilation-dir=.",
)  # fmt: skip
WARNINGS = ("-Wall", "-Wextra", "-Werror")

LINK_FLAGS = (
    "-static", "--gc-sections", "--build-id=none", "--compress-debug-sections=zlib",
    "-T", str(HERE / "lib" / "discard.ld"),
    # Constants, code and data in pages of their own (W^X), but no holes in the file:
    "-z", "noseparate-code", "-z", "norelro", "-z", "max-page-size=4096", "-z", "noexecstack",
)  # fmt: skip


class Placing(NamedTuple):
    """Where in memory a program is to run."""

    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]


FIXED = Placing(("-fno-pie",), ("--image-base=0x400000",))
MOVABLE = Placing(("-fPIE",), ("-pie", "--no-dynamic-linker", "-z", "text"))
MOVABLE_PROGRAMS = frozenset({"pie"})


class BuildError(Exception):
    """The build cannot go on: one sentence for people (or none), and the exit status."""

    def __init__(self, message: str = "", status: int = 1) -> None:
        super().__init__(message)
        self.status = status


# ---- The compiler ------------------------------------------------------------------------


def compiler_is_here() -> bool:
    """Is it installed, and in the version whose output we have in bin/?"""
    try:
        return f"ziglang=={version('ziglang')}" == ZIGLANG
    except PackageNotFoundError:
        return False


def ensure_compiler() -> None:
    """Install the pinned compiler if it is not there. Says so first, for it is large."""
    if compiler_is_here():
        return
    print(
        f"Installing the C compiler {ZIGLANG} (100 MB to download, 411 MB on disk) ...", flush=True
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, ZIGLANG], check=False).returncode != 0:
        raise BuildError(
            "The C compiler could not be installed; connect to the network and try again, "
            f"or install it yourself with: {sys.executable} -m pip install {ZIGLANG}"
        )


def zig(*arguments: str) -> None:
    """Run a Zig command. Its messages go straight through to the user."""
    done = subprocess.run([sys.executable, "-m", "ziglang", *arguments], check=False)
    if done.returncode != 0:
        raise BuildError(status=done.returncode)


def compile_c(source: Path, target: Path, flags: Iterable[str]) -> Path:
    zig("cc", *COMPILE_FLAGS, *flags, "-c", str(source), "-o", str(target))
    return target


def compile_library(folder: Path, placing: Placing) -> list[Path]:
    """Compile lib/*.c into `folder`. The order of the objects is part of the output's bytes."""
    flags = (*WARNINGS, *placing.compile_flags)
    folder.mkdir()

    def compile_one(source: Path) -> Path:
        return compile_c(source, folder / f"{source.stem}.o", flags)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(compile_one, sorted((HERE / "lib").glob("*.c"))))


def link(objects: Iterable[Path], library: Iterable[Path], target: Path, placing: Placing) -> None:
    """Link a program. Of the library only the objects that are asked for are taken."""
    lazily = ("--undefined=_start", "--start-lib", *map(str, library), "--end-lib")
    zig("ld.lld", *LINK_FLAGS, *placing.link_flags, *map(str, objects), *lazily, "-o", str(target))


# ---- The programs of this folder ---------------------------------------------------------


def program_names() -> list[str]:
    return sorted(source.stem for source in (HERE / "programs").glob("*.c"))


def build(names: Sequence[str], folder: Path) -> None:
    """Build the named programs into `folder`."""
    movable = [name for name in names if name in MOVABLE_PROGRAMS]
    fixed = [name for name in names if name not in MOVABLE_PROGRAMS]
    build_alike(fixed, folder, FIXED)
    build_alike(movable, folder, MOVABLE)


def build_alike(names: Sequence[str], folder: Path, placing: Placing) -> None:
    """Build programs that all run at the same kind of place, and so share one library."""
    if not names:
        return
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as pool:
        library = compile_library(Path(scratch, "lib"), placing)
        flags = (*WARNINGS, *placing.compile_flags)

        def build_one(name: str) -> None:
            made = compile_c(HERE / "programs" / f"{name}.c", Path(scratch, f"{name}.o"), flags)
            link([made], library, folder / name, placing)

        list(pool.map(build_one, names))


def differences(names: Sequence[str]) -> list[str]:
    """Build afresh and say how the result differs from what is in bin/."""
    orphans = {path.name for path in (HERE / "bin").iterdir()} - set(program_names())
    found = [f"{name}: has no source" for name in sorted(orphans)]
    with tempfile.TemporaryDirectory() as fresh:
        build(names, Path(fresh))
        for name in names:
            kept = HERE / "bin" / name
            if not kept.exists():
                found.append(f"{name}: missing")
            elif kept.read_bytes() != Path(fresh, name).read_bytes():
                found.append(f"{name}: differs from its source")
    return found


def build_command(arguments: argparse.Namespace) -> int:
    known = program_names()
    names: list[str] = arguments.names or known
    if unknown := sorted(set(names) - set(known)):
        wrong, right = ", ".join(unknown), ", ".join(known)
        raise BuildError(f"No such program: {wrong}. There are: {right}.", status=2)
    ensure_compiler()
    if arguments.check:
        found = differences(names)
        print("\n".join(found) or f"All {len(names)} are byte for byte what their sources give.")
        return 1 if found else 0
    (HERE / "bin").mkdir(exist_ok=True)
    build(names, HERE / "bin")
    print(f"Built {len(names)} programs in {HERE / 'bin'}.")
    return 0


def main(argv: Sequence[str]) -> int:
    """run.py build [NAME...] [--check]"""
    parser = argparse.ArgumentParser(
        prog="run.py build",
        description="Build userland/programs into userland/bin.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a program (none named: all)")
    parser.add_argument("--check", action="store_true", help="only compare a fresh build with bin")
    return report(build_command, parser.parse_args(argv))


# ---- A program of one's own --------------------------------------------------------------


def cc_command(arguments: argparse.Namespace) -> int:
    sources = [Path(word) for word in arguments.words if word.endswith(".c")]
    placing = MOVABLE if arguments.pie else FIXED
    flags = [f"-ffile-prefix-map={Path.cwd()}=.", *placing.compile_flags]
    flags += [word for word in arguments.words if not word.endswith(".c")]
    if not sources:
        raise BuildError("Name at least one C file.", status=2)
    if missing := [str(source) for source in sources if not source.exists()]:
        raise BuildError(f"No such file: {', '.join(missing)}.", status=2)
    ensure_compiler()
    with tempfile.TemporaryDirectory() as folder:
        library = compile_library(Path(folder, "lib"), placing)
        objects = [compile_c(c, Path(folder, f"{i}.o"), flags) for i, c in enumerate(sources)]
        link(objects, library, arguments.output or Path(sources[0].stem), placing)
    return 0


def cc(argv: Sequence[str]) -> int:
    """run.py cc FILE.c... [-o OUT] [--pie] [compiler flags]"""
    parser = argparse.ArgumentParser(
        prog="run.py cc",
        usage="run.py cc FILE.c... [-o OUT] [--pie] [compiler flags, such as -Wall -O2 -DN=8]",
        description="Compile C files and link them with the library of userland/.",
        allow_abbrev=False,
    )
    parser.add_argument("-o", dest="output", type=Path, metavar="OUT", help="the program to make")
    parser.add_argument("--pie", action="store_true", help="let it be loaded at any address")
    arguments, words = parser.parse_known_args(argv)
    arguments.words = words
    return report(cc_command, arguments)


def report(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; a failure becomes its sentence on stderr and its exit status."""
    try:
        return command(arguments)
    except BuildError as error:
        if str(error):
            print(error, file=sys.stderr)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
