"""The ledger: expenses in, balances and transfers out."""

from dataclasses import dataclass

from .money import split_evenly


@dataclass(frozen=True)
class Expense:
    title: str
    cents: int
    paid_by: str
    shared_by: tuple


class Ledger:
    def __init__(self, members):
        if len(set(members)) != len(members):
            raise ValueError("a member is named twice")
        self.members = list(members)
        self.expenses = []

    def add(self, title, cents, paid_by, shared_by=None):
        """Record an expense; everybody shares it unless `shared_by` says who."""
        sharers = tuple(shared_by) if shared_by is not None else tuple(self.members)
        for name in (paid_by, *sharers):
            if name not in self.members:
                raise ValueError(f"{name} is not a member")
        expense = Expense(title, cents, paid_by, sharers)
        self.expenses.append(expense)
        return expense

    def balances(self):
        """What each member is owed (positive) or owes (negative)."""
        totals = {name: 0 for name in self.members}
        for expense in self.expenses:
            totals[expense.paid_by] += expense.cents
            shares = split_evenly(expense.cents, len(expense.shared_by))
            for name, share in zip(expense.shared_by, shares):
                totals[name] -= share
        return totals

    def settle(self):
        """Transfers (debtor, creditor, cents) that bring every balance to zero."""
        balances = self.balances()
        debtors = [[name, -cents] for name, cents in balances.items() if cents < 0]
        creditors = [[name, cents] for name, cents in balances.items() if cents > 0]
        transfers = []
        while debtors and creditors:
            amount = min(debtors[0][1], creditors[0][1])
            transfers.append((debtors[0][0], creditors[0][0], amount))
            for side in (debtors, creditors):
                side[0][1] -= amount
                if side[0][1] == 0:
                    side.pop(0)
        return transfers
