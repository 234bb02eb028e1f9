"""What others say, made short and harmless enough to be kept and shown."""

LONGEST = 300


def single_line(said: str) -> str:
    """One line of at most 300 printable characters. Postgres refuses NUL, and terminals obey control characters."""
    printable = "".join(character if character.isprintable() else " " for character in said)
    return " ".join(printable.split())[:LONGEST]
