"""The header Retry-After, in seconds or as a date."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.retry_after import retry_after

HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds of the strategy


@given(seconds=st.integers(1, 10**30))
def test_a_number_is_seconds_and_at_most_an_hour(seconds: int) -> None:
    assert retry_after({"Retry-After": f" {seconds} "}) == min(timedelta(seconds=min(seconds, 10**6)), HOUR)


@given(now=MOMENTS, seconds=st.integers(1, 10_000))
def test_a_date_is_compared_with_the_date_of_the_response(now: datetime, seconds: int) -> None:
    now = now.replace(microsecond=0)
    headers = {
        "Date": format_datetime(now, usegmt=True),
        "Retry-After": format_datetime(now + timedelta(seconds=seconds), usegmt=True),
    }

    assert retry_after(headers) == min(timedelta(seconds=seconds), HOUR)


@given(text=st.text() | st.sampled_from(["", "0", "-5", "1.5", "²", "Mon", "Thu, 01 Jan 1970 00:00:00 GMT"]))
def test_any_other_text_is_no_wait_or_a_short_one(text: str) -> None:
    wait = retry_after({"Retry-After": text})

    assert wait is None or timedelta(0) < wait <= HOUR


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "²", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_an_invalid_or_past_value_is_no_wait(text: str) -> None:
    assert retry_after({"Retry-After": text}) is None


def test_a_missing_header_is_no_wait() -> None:
    assert retry_after({}) is None
