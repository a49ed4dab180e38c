"""Shared expenses of a group, in whole cents."""

from .ledger import Expense, Ledger
from .money import format_cents, split_evenly

__all__ = ["Expense", "Ledger", "format_cents", "split_evenly"]
