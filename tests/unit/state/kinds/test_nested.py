"""What has a codec of its own may stand inside other values."""

from fedstate.state import History
from fedstate.state.codecs.tree import from_tree, to_tree
from tests.unit.state.steps import make_context, sent, step


def test_histories_may_stand_in_other_values() -> None:
    history = History(limit=3)
    for number in range(5):
        history.append(number, number)
    context = make_context()
    with step(context) as state:
        state["by class"] = {"cat": [history]}
    context = sent(context)
    with step(context, 2) as state:
        assert state["by class"]["cat"][0] == history
        state["by class"]["cat"][0].append(9)
    with step(sent(context), 3) as state:
        assert state["by class"]["cat"][0].values.tolist() == [3, 4, 9]
        assert state["by class"]["cat"][0].dropped == 3
    assert state.entry is None


def test_an_array_of_its_own_stands_under_its_place() -> None:
    history = History()
    history.append(0.5, 1)
    tree = to_tree({"a": [history]})
    assert tree.version == 2
    assert tree.arrays
    assert all(key.startswith("a/0/") for key in tree.arrays)
    assert from_tree(tree.text, tree.arrays)["a"][0] == history
