"""The manual has a page for every call, and agrees with the declarations."""

from __future__ import annotations

import pytest

from hw.host import UserError
from kernel.syscalls import TABLE
from kernel.syscalls.vas_notes import NOTES
from userland import manual

ROWS = sorted(TABLE.values(), key=lambda row: row.number)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_call_has_a_page_with_its_prototype_its_number_and_its_text(row: object) -> None:
    declared = TABLE[row.number]  # type: ignore[attr-defined]
    text = manual.page(declared.name)
    assert text.startswith(declared.prototype() + "\n")
    assert f"number {declared.number}" in text
    for line in declared.doc.strip().splitlines():
        assert line.strip() in text
    assert (f"served by {declared.owner}" in text) == (declared.owner != "core")


def test_every_call_is_in_the_list_and_in_the_page_of_its_group() -> None:
    contents = manual.contents().replace("\n    ", " ")
    for name, module in manual.groups().items():
        for row in manual.calls_of(module):
            assert row.name in contents
            if name not in {row.name for row in ROWS}:
                assert row.prototype() in manual.page(name)


def test_the_page_of_vas_has_all_its_calls_and_its_deviations(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert manual.main(["vas"]) == 0
    text = capsys.readouterr().out
    joined = " ".join(text.split())
    for number in (*range(1332, 1348), *range(1350, 1357)):
        assert f"number {number}" in text
    for title, paragraphs in NOTES.items():
        assert title in text
        assert all(paragraph in joined for paragraph in paragraphs)
    assert max(map(len, text.splitlines())) <= 100


def test_an_unknown_page_is_refused_in_a_sentence_with_a_remedy() -> None:
    with pytest.raises(UserError, match="no page vas_atach") as caught:
        manual.page("vas_atach")
    assert "vas_attach" in str(caught.value)
