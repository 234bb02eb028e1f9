"""Text of external systems, made safe to store and to show."""

from runtime.masking import masked
from runtime.shown_text import is_hidden

MAX_LENGTH = 300


def message_from(text: str) -> str:
    """What an external system said, in one line: secrets and e-mail addresses are masked before the text is cut."""
    return single_line(masked(text))


def single_line(text: str) -> str:
    """Reduce it to one line of at most 300 printable characters: Postgres refuses NUL, terminals obey control codes."""
    printable = "".join(" " if is_hidden(character) else character for character in text)
    return " ".join(printable.split())[:MAX_LENGTH]
