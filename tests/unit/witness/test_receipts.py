"""A receipt vouches for its row, and a chain's last one for all rows that lead to it."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.witness.rows import receipts, rows

from fedstate.witness import receipts as module
from fedstate.witness.receipts import (
    Receipt,
    is_signed_by,
    public_key_from,
    sign,
    signed_by,
)
from fedstate.witness.record import MalformedRecordError

KEY = ec.generate_private_key(ec.SECP384R1())
OTHER = ec.generate_private_key(ec.SECP384R1())
PUBLIC = KEY.public_key()


def test_a_receipt_comes_back_as_it_was() -> None:
    (row,) = rows(1)
    receipt = sign(row, KEY)
    assert Receipt.decode(receipt.encode()) == receipt
    assert receipt.record.run_sequence == 1
    with pytest.raises(MalformedRecordError, match="not a receipt"):
        Receipt.decode(b"\xff\xff")


def test_only_the_key_of_the_node_signs_for_it() -> None:
    (row,) = rows(1)
    receipt = sign(row, KEY)
    assert is_signed_by(receipt, PUBLIC)
    assert is_signed_by(sign(row, KEY), PUBLIC)
    assert not is_signed_by(sign(row, OTHER), PUBLIC)
    assert not is_signed_by(replace(receipt, row=row[:-1]), PUBLIC)
    assert not is_signed_by(Receipt(row), PUBLIC)
    assert not is_signed_by(Receipt(row, b"nonsense"), PUBLIC)


def test_the_last_signature_vouches_for_what_leads_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verified: list[Receipt] = []

    def noted(receipt: Receipt, key: ec.EllipticCurvePublicKey) -> bool:
        verified.append(receipt)
        return is_signed_by(receipt, key)

    monkeypatch.setattr(module, "is_signed_by", noted)
    chain = receipts(50)
    chain[-1] = sign(chain[-1].row, KEY)
    assert signed_by(chain, PUBLIC) == [True] * 50
    assert verified == [chain[-1]]


def test_what_does_not_lead_to_a_vouched_row_is_judged_by_its_own_signature() -> None:
    chain = [sign(row, KEY) for row in rows(6)]
    forged = sign(chain[2].record._replace(stored=b"\7" * 32).encode(), OTHER)
    assert (
        signed_by([*chain[:2], forged, *chain[3:]], PUBLIC) == [True] * 2 + [False] + [True] * 3
    )
    assert signed_by([*chain[:5], Receipt(chain[5].row)], PUBLIC) == [True] * 5 + [False]
    assert signed_by([], PUBLIC) == []


def test_the_key_is_read_as_a_superlink_has_it() -> None:
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_from(pem).public_numbers() == PUBLIC.public_numbers()
    another = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(ValueError, match="not an elliptic-curve key"):
        public_key_from(another.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ValueError, match="PEM"):
        public_key_from(b"nonsense")
