"""Numbers from untrusted input."""


def whole_number(value: bytes | str, *, most_digits: int = 15) -> int | None:
    """Parse a number of at most ``most_digits`` ASCII digits; None for anything else.

    Python's own ``int`` takes signs, spaces, underscores and other scripts' digits, and raises on very long ones.
    """
    if not 0 < len(value) <= most_digits or not value.isascii() or not value.isdigit():
        return None
    return int(value)
