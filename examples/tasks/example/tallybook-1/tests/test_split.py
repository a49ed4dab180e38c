import pytest

from tallybook import Ledger, split_evenly


@pytest.mark.parametrize(
    "cents, count, shares",
    [
        (100, 3, [34, 33, 33]),
        (-100, 3, [-34, -33, -33]),
        (2, 5, [1, 1, 0, 0, 0]),
        (0, 4, [0, 0, 0, 0]),
        (9000, 3, [3000, 3000, 3000]),
    ],
)
def test_shares(cents, count, shares):
    assert split_evenly(cents, count) == shares


def test_balances_add_up_to_zero():
    ledger = Ledger(["ann", "ben", "cleo"])
    ledger.add("ice cream", 1000, paid_by="ben")
    ledger.add("refund", -50, paid_by="ann")
    assert sum(ledger.balances().values()) == 0


def test_settling_leaves_nobody_short():
    ledger = Ledger(["ann", "ben", "cleo"])
    ledger.add("coffee", 1000, paid_by="ann")
    paid = sum(cents for _, creditor, cents in ledger.settle() if creditor == "ann")
    assert paid == ledger.balances()["ann"]
