"""The tour: what a newcomer sees first."""

from __future__ import annotations

import pytest

from labs import tour


@pytest.mark.parametrize("options", [[], ["--cpus", "2"], ["--no-pcid"], ["--itlb", "1x2"]])
def test_the_tour_shows_every_room_and_says_what_is_next(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tour.main(options) == 0
    shown = capsys.readouterr().out
    for title, _ in tour.ROOMS:
        assert title in shown
    assert "modelled cycles" in shown
    assert "PT[001]" in shown
    assert shown.rstrip().splitlines()[-1] == tour.NEXT


def test_on_silicon_the_tlb_is_not_observable(capsys: pytest.CaptureFixture[str]) -> None:
    assert tour.main(["--mmu", "silicon"]) == 0
    assert "not observable" in capsys.readouterr().out
