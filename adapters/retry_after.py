"""The header Retry-After of an HTTP response: how long the server asks its client to wait (RFC 9110, 10.2.3)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from provisioning.scarcity import LONGEST_RETRY_AFTER


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The time to wait, at most LONGEST_RETRY_AFTER; None if the header is missing, invalid or in the past.

    A date is compared with the date of the response, so a wrong clock on either side does no harm.
    """
    text = headers.get("Retry-After", "").strip()
    wait = _seconds(text) if text.isascii() and text.isdigit() else _until(text, headers.get("Date", ""))
    return min(wait, LONGEST_RETRY_AFTER) if wait and wait > timedelta(0) else None


def _seconds(digits: str) -> timedelta:
    return timedelta(seconds=int(digits)) if len(digits) <= len("3600") + 4 else LONGEST_RETRY_AFTER


def _until(text: str, now: str) -> timedelta | None:
    until = _date(text)
    return until - (_date(now) or datetime.now(UTC)) if until else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
