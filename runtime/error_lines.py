"""The first line of an error's message, for one line of a log or a sentence."""


def first_line(error: BaseException) -> str:
    """The first line of the message that is not blank, without its full stop; without a message, the type."""
    lines = (line.strip().removesuffix(".") for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
