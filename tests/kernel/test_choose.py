"""Every free choice goes through one place, which can be seeded, scripted and read back."""

from __future__ import annotations

import pytest

from kernel.choose import DATA, SCHEDULE, SLICE, Chooser
from tests.kernel.asm import Program
from tests.kernel.system import System, run_code


def test_one_option_is_no_choice() -> None:
    chooser = Chooser(1)
    before = chooser.state
    assert [chooser.choose(kind, n) for kind in (SCHEDULE, SLICE, DATA) for n in (0, 1)] == [0] * 6
    assert (chooser.log, chooser.state) == ([], before)


def test_the_schedule_takes_the_first_option_unless_it_is_scripted() -> None:
    chooser = Chooser(9)
    chooser.script = [1, 0, 7]
    assert [chooser.choose(SCHEDULE, 3) for _ in range(5)] == [1, 0, 2, 0, 0]
    assert chooser.log == [1, 0, 2, 0, 0]


def test_the_schedule_draws_nothing_from_the_generator() -> None:
    chooser = Chooser(9)
    chooser.choose(SCHEDULE, 3)
    assert chooser.state == Chooser(9).state


def test_the_generator_is_splitmix64() -> None:
    """The first outputs for seed 1234567, as its authors publish them."""
    data = Chooser(1234567).bytes(24)
    words = [int.from_bytes(data[i : i + 8], "little") for i in (0, 8, 16)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100])
def test_the_caller_gets_as_many_bytes_as_it_asked_for(size: int) -> None:
    assert len(Chooser(1).bytes(size)) == size
    assert Chooser(1).bytes(size) == Chooser(1).bytes(100)[:size]


def test_seeds_differ_and_a_seed_is_cut_to_64_bits() -> None:
    assert Chooser(1).bytes(8) != Chooser(2).bytes(8)
    assert Chooser(-1).bytes(8) == Chooser((1 << 64) - 1).bytes(8)


def test_a_slice_lies_in_its_range() -> None:
    chooser = Chooser(3)
    assert {chooser.choose(SLICE, 5) for _ in range(200)} == set(range(5))


def letters() -> Program:
    """Three children that each write a letter."""
    program = Program()
    for name in (b"a", b"b", b"c"):
        program.call("fork")
        program.jump_unless_zero(f"after {name!r}")
        program.say(name)
        program.exit()
        program.label(f"after {name!r}")
    for _ in range(3):
        program.wait()
    program.exit()
    return program


def scripted(script: list[int]) -> tuple[bytes, list[int]]:
    system = System(letters(), ram=4)
    system.kernel.chooser.script = script
    return system.run().output, system.kernel.chooser.log


def test_a_script_forces_the_schedule() -> None:
    outputs = {scripted([a, b, c])[0] for a in range(3) for b in range(3) for c in range(3)}
    assert {bytes(sorted(output)) for output in outputs} == {b"abc"}
    assert len(outputs) == 6


def test_the_log_of_a_run_is_a_script_for_the_same_run() -> None:
    output, log = scripted([2, 1, 1])
    assert output != scripted([])[0]
    assert scripted(log) == (output, log)


def test_programs_get_random_bytes_from_the_seed() -> None:
    program = Program()
    at = program.room(16)
    program.call("getrandom", at, 16, 0)
    program.dump(at, 16)
    program.exit()
    outputs = [run_code(program, seed=seed).output for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]
    assert len(outputs[0]) == 16
