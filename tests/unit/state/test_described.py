"""The guide's table of what can be stored."""

from fedstate.state.codecs.registry import codecs
from fedstate.state.codecs.tree import KINDS
from fedstate.state.described import BEGIN, END, rows, table, with_table


def test_every_codec_and_kind_has_its_row() -> None:
    found = rows()
    for codec in codecs:
        assert set(codec.described) <= set(found)
    for kind in KINDS:
        assert kind.row is None or kind.row in found
    assert len(table().splitlines()) == len(found) + 2
    assert all(line.count("|") >= 3 for line in table().splitlines())


def test_what_is_around_the_marks_stays_and_writing_again_changes_nothing() -> None:
    page = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    written = with_table(page)
    assert written.startswith(f"before\n\n{BEGIN}\n\n| value |")
    assert written.endswith(f"\n\n{END}\n\nafter\n")
    assert "old" not in written.partition(BEGIN)[2].partition("| value |")[0]
    assert with_table(written) == written
