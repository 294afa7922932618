"""C++ for `run.py cc`: the language, over the C library of this folder.

There is no C++ standard library: libc++ and libstdc++ need a C library with locales and wide
characters, and a run-time library for exceptions.  So there are classes, templates, constructors
of static objects, new and delete, and no <vector>; exceptions and RTTI are off.
`lib/cplusplus.cc` is what the language itself needs at run time.
"""

from __future__ import annotations

import re
from pathlib import Path

SUFFIXES = (".cc", ".cpp", ".cxx")
FLAGS = (
    "-std=gnu++17",
    "-nostdinc++",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-use-cxa-atexit",  # destructors of static objects go to atexit()
    "-Drestrict=__restrict",  # C's keyword, which C++ has under another name
)
LINK_FLAGS = ("--wrap=main",)
"""The start calls main(); lib/cplusplus.cc first constructs static objects there."""
WRAPPER = """\
#pragma GCC system_header
extern "C" {{
#include_next <{name}>
}}
"""
INCLUDE = re.compile(r"^\s*#\s*include\s*<(\w+)>", re.MULTILINE)
"""A header of the C++ library has no suffix."""
NO_LIBRARY = (
    "There is no C++ standard library here, so there is no <{header}>: the language and the "
    "headers of C are all that there is.\n"
    "A program that needs more can be built by another compiler, as a static program for Linux "
    "(such as `zig c++ -target x86_64-linux-musl -static`), and runs on Vantage as it is."
)


def is_source(word: str | Path) -> bool:
    """Is that a file in C++, by its name?"""
    return str(word).endswith(SUFFIXES)


def write_headers(include: Path, folder: Path) -> Path:
    """Make a folder to be searched before `include`: each header again, in extern "C"."""
    for header in include.rglob("*.h"):
        name = header.relative_to(include)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(WRAPPER.format(name=name.as_posix()))
    return folder


def missing_library(source: Path) -> str:
    """What to say of a file that did not compile, if it includes what is not there."""
    try:
        text = source.read_text("utf-8", "replace")
    except OSError:  # the compiler has said why it cannot be read
        return ""
    found = INCLUDE.search(text)
    return NO_LIBRARY.format(header=found[1]) if found else ""
