"""Text of external systems, made safe to store and to show."""

MAX_LENGTH = 300


def single_line(text: str) -> str:
    """Reduce it to one line of at most 300 printable characters: Postgres refuses NUL, terminals obey control codes."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_LENGTH]
