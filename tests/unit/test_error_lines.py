"""An error is named by the first line of its message, or by its type if it has none."""

import pytest

from runtime.error_lines import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("refused"), "refused"),
        (RuntimeError("refused.\nDETAIL: more"), "refused"),
        (RuntimeError("\n  \n  refused\n"), "refused"),
        (TimeoutError(), "TimeoutError"),
        (TimeoutError(" \n"), "TimeoutError"),
        (TimeoutError(".\n"), "TimeoutError"),
    ],
)
def test_an_error_has_one_line_that_names_it(error: Exception, line: str) -> None:
    assert first_line(error) == line
