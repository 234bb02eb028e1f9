"""The scalar DateTime is RFC 3339 in UTC, and Duration is ISO 8601."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strawberry.exceptions import StrawberryInputCoercionError

from schema.scalars import SCALARS

DATE_TIME, DURATION = SCALARS[datetime], SCALARS[timedelta]


def parse(scalar: object, text: object) -> object:
    return getattr(scalar, "parse_value")(text)  # noqa: B009  # the type allows None, but these scalars have it


def serialize(scalar: object, value: object) -> object:
    return getattr(scalar, "serialize")(value)  # noqa: B009  # the type allows None, but these scalars have it


def test_instants_are_written_in_utc() -> None:
    elsewhere = timezone(timedelta(hours=2))

    assert serialize(DATE_TIME, datetime(2026, 11, 22, 11, 30, 0, 123456, elsewhere)) == "2026-11-22T09:30:00.123456Z"
    assert serialize(DATE_TIME, datetime(2026, 11, 22, 9, 30, tzinfo=UTC)) == "2026-11-22T09:30:00Z"


@pytest.mark.parametrize("text", ["2026-11-22T09:30:00Z", "2026-11-22T11:30:00+02:00", "2026-11-22T09:30:00.000000Z"])
def test_instants_are_read_with_any_offset(text: str) -> None:
    assert parse(DATE_TIME, text) == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T09:30:00", "2026-11-22", "now", "", 1, None, True, "T"]
    + [
        "2026-W47-7T09:30:00Z",
        "20261122T093000Z",
        "2026-11-22T09:30Z",
        "2026-11-22T09:30:00+00",
        "2026-11-22 09:30:00Z",
    ]
    + ["2026-11-22T09:30:00+01:00:30", "2026-11-22T09:30:00Z\n", "2026-13-22T09:30:00Z"],
)
def test_a_text_that_is_no_instant_is_refused(text: object) -> None:
    with pytest.raises(StrawberryInputCoercionError):
        parse(DATE_TIME, text)


@example("0001-01-01T00:00:00+00:01")
@example("9999-12-31T23:59:59.999999-23:59")
@given(
    st.one_of(
        st.builds(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
            st.sampled_from([0, 1, 2, 1600, 2026, 9998, 9999]),
            *(st.sampled_from([0, 1, 2, 12, 13, 28, 30, 31, 99]) for _ in range(2)),
            *(st.sampled_from([0, 1, 23, 24, 59, 60, 99]) for _ in range(3)),
            st.sampled_from(["", ".0", ".999999", ".1234567890123"]),
            st.sampled_from(["Z", "+00:00", "-00:00", "+00:01", "-00:01", "+23:59", "-23:59", "+24:00", "-99:99"]),
        ),
        st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))).map(
            datetime.isoformat
        ),
        st.text(),
    )
)
def test_every_text_is_an_instant_in_utc_or_refused(text: str) -> None:
    try:
        found = parse(DATE_TIME, text)
    except StrawberryInputCoercionError as refusal:
        assert str(refusal).startswith("Invalid DateTime: ")  # noqa: PT017  # either outcome is right
        return
    assert isinstance(found, datetime)
    assert found.tzinfo is UTC
    assert parse(DATE_TIME, serialize(DATE_TIME, found)) == found


@given(st.text() | st.from_regex(r"-?P(\d+[YMWD])*(T(\d+(\.\d+)?[HMS])*)?", fullmatch=True))
def test_every_text_is_a_duration_or_refused(text: str) -> None:
    try:
        found = parse(DURATION, text)
    except StrawberryInputCoercionError as refusal:
        assert str(refusal).startswith("Invalid Duration: ")  # noqa: PT017  # either outcome is right
        return
    assert isinstance(found, timedelta)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=42.5), "PT42.5S"),
        (timedelta(minutes=15), "PT15M"),
        (timedelta(days=1), "P1D"),
        (timedelta(0), "PT0S"),
        (timedelta(milliseconds=1), "PT0.001S"),
    ],
)
def test_durations_are_written_and_read(duration: timedelta, text: str) -> None:
    assert serialize(DURATION, duration) == text
    assert parse(DURATION, text) == duration


@pytest.mark.parametrize("text", ["", "15", 15, None, "PT", "15 minutes", "-PT5S", "P1Y2M3W4D5H", "PTS"])
def test_a_text_that_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(StrawberryInputCoercionError):
        parse(DURATION, text)
