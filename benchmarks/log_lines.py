"""What the line of a request in the log costs the event loop: fields and masks, beside Python's own formatter."""

import logging
import time
from uuid import uuid4

from runtime.logging import FieldsFormatter
from runtime.masking import remember_secrets
from runtime.settings import Settings

LAYOUT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LIMIT_MICROSECONDS = 50
LINES_IN_A_ROUND = 100
LENGTH_OF_A_HOSTILE_TEXT = 100_000


def run(settings: Settings, rounds: int) -> None:
    """Format the line of a request, then a long text that looks like addresses. The shortest round counts."""
    remember_secrets([settings.secret_key.get_secret_value(), "a-password-of-a-relay", "a-token-of-a-deployer"])
    plain = _microseconds(logging.Formatter(LAYOUT), rounds)
    masked = _microseconds(FieldsFormatter(LAYOUT), rounds)
    print(f"  a line of a request          {masked:6.1f} µs, {masked / plain:.1f} times Python's own {plain:.1f} µs")
    hostile = _microseconds(FieldsFormatter(LAYOUT), 1, cause="://a:b@" * (LENGTH_OF_A_HOSTILE_TEXT // 7)) / 1000
    print(f"  one with {LENGTH_OF_A_HOSTILE_TEXT:,} hostile characters {hostile:6.1f} ms")
    if masked >= LIMIT_MICROSECONDS:
        raise SystemExit(f"The line of a request must cost less than {LIMIT_MICROSECONDS} µs.")


def _microseconds(formatter: logging.Formatter, rounds: int, **more: object) -> float:
    count = LINES_IN_A_ROUND if rounds > 1 else 1
    best = float("inf")
    for _ in range(rounds):
        records = [_record(more) for _ in range(count)]
        began = time.perf_counter()
        for record in records:
            formatter.format(record)
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def _record(more: dict[str, object]) -> logging.LogRecord:
    facts = {"request_id": uuid4().hex, "method": "POST", "path": "/graphql", "status": 200, "ms": 12.3}
    caller = {"caller_kind": "MEMBER", "caller_id": uuid4(), "organisation_id": uuid4()}
    values = {"name": "server.request_log", "levelname": "INFO", "msg": "request answered"}
    return logging.makeLogRecord({**values, **facts, **caller, **more})
