"""`run.py lab export N --gradescope`: an autograder for Gradescope, as one zip.

Gradescope unpacks it into /autograder/source of a stock Ubuntu image, runs `setup.sh` once, and
`run_autograder` for each submission, which lies in /autograder/submission; it reads
/autograder/results/results.json (its documentation: "Autograder Specifications").  Nothing here
depends on those places but their names: everything is found beside `run_autograder`.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from hw.files import write_whole
from hw.host import UserError
from labs.exam import seed_held
from labs.lab import ROOT, Lab

FOLDERS = ("hw", "kernel", "userland", "labs")
FILES = (
    "run.py",
    "LICENSE",
    "requirements.txt",
    "requirements-panel.txt",
    "requirements-compiler.txt",
    "requirements-test.txt",
)
LEFT_OUT = ("__pycache__", "mutants.json", "mutants.py", "NOTES.md", "pictures")
"""By name of a file or folder: a grader needs none of it."""
EXECUTABLE = 0o100755 << 16

SETUP = """\
#!/bin/sh
# Runs once, when the image is made: a Python, and Vantage's environment.
set -e
cd "$(dirname "$0")"
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
fi
python3 run.py {first}
"""

RUN = """\
#!/bin/sh
# Runs for each submission; there is always a report.
here="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$here/results"
timeout 600 python3 "$here/source/run.py" lab grade {lab} --tree "$here/submission" \\
    --seed {seed} --results "$here/results"
if [ ! -s "$here/results/results.json" ]; then
    echo '{{"score": 0, "output": "The grader ended without a report; tell your instructor."}}' \\
        > "$here/results/results.json"
fi
"""


def write_autograder(lab: Lab, to: Path, seed: int) -> None:
    """The zip; it asks the questions of `seed`, which the students' trees should not have."""
    if seed_held(lab) is not None:
        raise UserError("a student's tree cannot grade others", "export from the instructor's tree")
    if to.exists():
        raise UserError(f"{to} exists already", "name a file that does not exist yet")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _sources():
            archive.write(path, path.relative_to(ROOT).as_posix())
        run = RUN.format(lab=lab.number, seed=seed)
        setup = SETUP.format(first="build --help" if lab.programs else "lab list")
        for name, text in (("setup.sh", setup), ("run_autograder", run)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = EXECUTABLE
            archive.writestr(entry, text)
    write_whole(to, whole.getvalue())


def _sources() -> list[Path]:
    found = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and not any(part in LEFT_OUT or part[0] == "." for part in parts):
                found.append(path)
    return found
