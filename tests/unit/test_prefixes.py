"""The condition on a prefix, as a range in the order of bytes."""

import sys

import pytest

from provisioning.queries import text_after


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        ("tenant.", "tenant/"),
        ("shop-1", "shop-2"),
        ("z", "{"),
        ("\ud7ff", "\ue000"),
        (f"a{chr(sys.maxunicode)}", "b"),
        (chr(sys.maxunicode), None),
        ("", None),
    ],
)
def test_the_end_of_a_prefix_is_the_first_text_behind_it(prefix: str, end: str | None) -> None:
    assert text_after(prefix) == end


@pytest.mark.parametrize("prefix", ["tenant.", "\ud7ff", f"a{chr(sys.maxunicode)}"])
def test_a_text_with_the_prefix_is_before_the_end_in_the_order_of_bytes(prefix: str) -> None:
    end = text_after(prefix)
    assert end is not None

    assert prefix.encode() <= f"{prefix}{chr(sys.maxunicode)}".encode() < end.encode()
