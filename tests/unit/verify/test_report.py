import io

from rich.console import Console

from fedstate.verify.report import COMPLETED, verify
from tests.unit.verify.runs import NODES, ROUNDS, kept, with_holding


def test_the_json_form_is_the_documented_one() -> None:
    report = verify([kept("1", seed=1)], {"1": COMPLETED}).to_json()
    assert {key: report[key] for key in ("schema", "flwr", "engine", "passed")} == {
        "schema": "fedstate.report/1",
        "flwr": "1.42.0",
        "engine": "processes",
        "passed": True,
    }
    run = report["runs"][0]
    assert (run["run_id"], run["status"], run["rounds"]) == ("1", COMPLETED, ROUNDS)
    assert [node["node_id"] for node in run["nodes"]] == list(NODES)
    assert run["nodes"][0]["entries"][0].keys() == {
        "sequence", "round", "message_id", "parent", "digest", "loss",
    }  # fmt: skip
    assert [check["name"] for check in report["checks"]] == [
        "persistence", "isolation", "completeness", "agreement",
    ]  # fmt: skip


def test_the_table_names_the_node_that_fails() -> None:
    tampered = with_holding(kept("1", seed=1), NODES[0], digest="0" * 64)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(verify([tampered], {"1": COMPLETED}).to_table())
    text = console.export_text()
    assert text.count("persistence") >= 2, "once in the node's row, once in the verdict"
    assert "✗ persistence" in text
    assert "✓ isolation" in text


def test_a_node_whose_id_begins_with_that_of_another_is_not_blamed_for_it() -> None:
    tampered = with_holding(kept("1", seed=1, nodes=("1", "12")), "12", digest="0" * 64)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(verify([tampered], {"1": COMPLETED}).to_table())
    rows = {line.split()[0]: line for line in console.export_text().splitlines() if line.strip()}
    assert rows["1"].split()[-1] == "ok"
    assert rows["12"].split()[-1] == "persistence"
