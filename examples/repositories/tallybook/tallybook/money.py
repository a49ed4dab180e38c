"""Arithmetic on amounts of money; every amount is an int of cents."""


def format_cents(cents):
    """1234 -> '12.34', -5 -> '-0.05'."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole}.{part:02d}"


def split_evenly(cents, count):
    """Split an amount into `count` shares."""
    if count < 1:
        raise ValueError("an amount can't be split among nobody")
    return [cents // count] * count
