"""Evidence in columns says what it says in rows, as an older `fedstate verify` asks for it."""

from typing import Any

import pytest
from tests.unit.witness.rows import rows

from fedstate.errors import EvidenceError
from fedstate.exchange.messages import (
    Deliveries,
    EvidencePage,
    NodeLog,
    PushLogRequest,
    RunLog,
    StoredReceipts,
)
from fedstate.flower.proto.evidence_pb2 import RunAccount
from fedstate.superlink import evidence_pages
from fedstate.superlink.evidence_pages import SentReceipts, in_rows
from fedstate.verify.superlink import gather
from fedstate.witness.witness_pb2 import Receipt

RUN, NODE, OTHER = 2**64 - 1, 2**63, 7
ROWS = list(rows(3))
DELIVERIES = Deliveries(
    run_id=RUN,
    node_ids=[NODE, OTHER],
    message_ids=["m1", "m2"],
    group_ids=["1", ""],
    actions=["train", "query"],
    delivered_at=[0.5, 1.5],
    answered_at=[2.5, 0.0],
    reply_ids=["r1", ""],
    failed=[True, False],
)
RECEIPTS = StoredReceipts(
    run_id=RUN,
    node_ids=[NODE, OTHER],
    records=ROWS[:2],
    signatures=[b"s1", b""],
)
LOG = PushLogRequest(
    receipts=[Receipt(record=ROWS[0], signature=b"s1"), Receipt(record=ROWS[2], signature=b"s3")],
    runs=[RunLog(run_id=RUN, length=2)],
    last=True,
    store_id="5",
    opening=b"o",
    generation=6,
)


def pages(sent: SentReceipts | None = None) -> list[EvidencePage]:
    sent = sent or SentReceipts()
    return [
        EvidencePage(runs=[RunAccount(run_id=RUN)]),
        EvidencePage(delivery_columns=DELIVERIES),
        EvidencePage(receipt_columns=RECEIPTS),
        EvidencePage(logs=[sent.log_of(NODE, LOG)]),
        EvidencePage(later_delivery_columns=DELIVERIES),
        EvidencePage(account_began_at=0.5),
    ]


def test_columns_and_rows_say_the_same() -> None:
    asked, older = pages(), [in_rows(page) for page in pages()]
    assert gather(older) == gather(asked)
    (run,) = gather(asked).runs
    assert [each.reply_id for each in run.nodes[NODE].deliveries] == ["r1"]
    assert [each.message_id for each in run.nodes[OTHER].deliveries] == ["m2"]
    assert run.nodes[OTHER].later == {"m2"}
    assert [each.row for each in run.nodes[OTHER].receipts] == ROWS[1:2]


def test_an_older_release_is_sent_no_field_that_it_does_not_know() -> None:
    sent = {field.name for page in pages() for field, _ in in_rows(page).ListFields()}
    known = {"runs", "deliveries", "receipts", "logs", "later_deliveries", "account_began_at"}
    assert sent == known
    logs = [log for page in pages() for log in in_rows(page).logs]
    assert not [log for log in logs if log.records or log.signatures or log.places]


@pytest.mark.parametrize(
    ("kind", "columns", "lacking"),
    [
        ("delivery_columns", DELIVERIES, "actions"),
        ("receipt_columns", RECEIPTS, "signatures"),
        ("logs", SentReceipts().log_of(NODE, LOG), "signatures"),
    ],
)
def test_columns_that_do_not_fit_each_other_are_no_evidence(
    kind: str, columns: Any, lacking: str
) -> None:
    shorter = type(columns)()
    shorter.CopyFrom(columns)
    del getattr(shorter, lacking)[-1]
    page = EvidencePage(runs=[RunAccount(run_id=RUN)])
    gather([page])
    fields: dict[str, Any] = {kind: [shorter] if kind == "logs" else shorter}
    wrong = EvidencePage(**fields)
    with pytest.raises(EvidenceError, match="contradicts itself"):
        gather([page, wrong])


def test_a_row_that_is_a_receipt_is_sent_once() -> None:
    sent = SentReceipts()
    sent.add(RECEIPTS)
    asked = pages(sent)
    assert gather(asked) == gather(pages())
    (log,) = (log for page in asked for log in page.logs)
    assert (list(log.places), list(log.records)) == ([1, 0], ROWS[2:])
    (run,) = gather(asked).runs
    assert run.nodes[NODE].receipts[0] is run.nodes[NODE].rows[0], "it is read once"


def test_a_row_with_another_signature_is_sent_itself() -> None:
    sent = SentReceipts()
    sent.add(RECEIPTS)
    other = PushLogRequest(receipts=[Receipt(record=ROWS[0], signature=b"other")], last=True)
    log = sent.log_of(NODE, other)
    assert (list(log.places), list(log.signatures)) == ([0], [b"other"])


def test_receipts_are_noted_up_to_a_bound_and_counted_beyond_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence_pages, "_MOST_NOTED", 2)
    sent = SentReceipts()
    parts = [
        StoredReceipts(run_id=RUN, node_ids=[NODE], records=[row], signatures=[b"s"])
        for row in ROWS
    ]
    for part in parts:
        sent.add(part)
    log = PushLogRequest(
        receipts=[Receipt(record=row, signature=b"s") for row in ROWS], last=True
    )
    answer = sent.log_of(NODE, log)
    assert list(answer.places) == [1, 2, 0]
    head = EvidencePage(runs=[RunAccount(run_id=RUN)])
    answered = [head, *(EvidencePage(receipt_columns=part) for part in parts)]
    (run,) = gather([*answered, EvidencePage(logs=[answer])]).runs
    assert [each.row for each in run.nodes[NODE].rows] == ROWS


@pytest.mark.parametrize("places", [[3], [2**32 - 1], [0, 0]])
def test_a_place_at_which_nothing_was_sent_is_no_evidence(places: list[int]) -> None:
    head = EvidencePage(runs=[RunAccount(run_id=RUN)])
    log = NodeLog(node_id=NODE, places=places, records=ROWS[:1], signatures=[b"s"])
    with pytest.raises(EvidenceError, match="lacks a row"):
        gather([head, EvidencePage(receipt_columns=RECEIPTS), EvidencePage(logs=[log])])
