import pytest

from tallybook import Ledger, format_cents


def test_format():
    assert format_cents(1234) == "12.34"
    assert format_cents(-5) == "-0.05"


def test_balances_of_a_shared_dinner():
    ledger = Ledger(["ann", "ben", "cleo"])
    ledger.add("dinner", 9000, paid_by="ann")
    assert ledger.balances() == {"ann": 6000, "ben": -3000, "cleo": -3000}


def test_only_the_named_members_share():
    ledger = Ledger(["ann", "ben", "cleo"])
    ledger.add("taxi", 2000, paid_by="ben", shared_by=["ben", "cleo"])
    assert ledger.balances() == {"ann": 0, "ben": 1000, "cleo": -1000}


def test_settle():
    ledger = Ledger(["ann", "ben"])
    ledger.add("tickets", 5000, paid_by="ben")
    assert ledger.settle() == [("ann", "ben", 2500)]


def test_strangers_are_refused():
    with pytest.raises(ValueError):
        Ledger(["ann"]).add("tea", 300, paid_by="dan")
