"""Words of messages that depend on numbers."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, which gets an s in the plural: "1 step", "0 steps", "1,000 steps"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
