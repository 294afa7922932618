"""The tools `ipcmk`, `ipcs` and `ipcrm`, and the files that they read."""

from __future__ import annotations

from tests.kernel.system import System

MADE = "ipcmk -M 5000; ipcmk -M 1 -p 600; "


def lines(script: str, **wishes: object) -> list[str]:
    """Everything that a script writes, with its error messages."""
    system = System("sh", "-c", f"PATH=/bin; {script}", **{"turns": 10**6, **wishes})
    system.kernel.machine.console.error_sink = system.written.append
    return system.run().output.decode().splitlines()


def test_what_is_made_is_listed_and_what_is_removed_is_not() -> None:
    shown = lines(MADE + "ipcs; ipcrm -m 0; ipcs -m | wc -l; ipcrm -m 0; echo $?")
    assert shown[:2] == ["Shared memory id: 0", "Shared memory id: 1"]
    assert shown[3].split() == ["0x00000000", "0", "1000", "644", "5000", "0"]
    assert shown[4].split() == ["0x00000000", "1", "1000", "600", "1", "0"]
    assert shown[5:] == ["2", "ipcrm: -m 0: Invalid argument", "1"]


def test_the_sums_and_limits_are_those_of_the_machine() -> None:
    shown = lines(MADE + "ipcs -l; cat /proc/sys/kernel/shmall", ram=16)
    assert shown[2:4] == ["segments 2 of 4096", "pages 3 of 2048, in memory 0, on the disk 0"]
    assert shown[5] == "2048"


def test_wrong_words_are_answered_in_a_sentence() -> None:
    shown = lines("ipcrm -m x; ipcrm -m; ipcrm -M 0; ipcrm -M 77; ipcmk -M 0; ipcs -q; ipcmk -x 1")
    assert shown == [
        "ipcrm: 'x' is no number",
        "ipcrm: usage: ipcrm (-m ID | -M KEY)..",
        "ipcrm: 0 is the key of no segment",
        "ipcrm: -M 77: No such file or directory",
        "ipcmk: usage: ipcmk -M BYTES [-p MODE]",
        "ipcs: usage: ipcs [-m | -l]",
        "ipcmk: -x: there is no such option",
    ]
