"""A shifted clock is shifted for exactly one whole process."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter, time, time_ns

import pytest
from dramatiq.common import current_millis

from runtime.migrations import ROOT
from tests.builders import settings_with
from tests.conformance.field.clocks import shifted
from tests.conformance.field.relay_clients import connect
from tests.waiting import wait_until
from workers.broker import redis_broker

CLOCKS = """
import time
from datetime import UTC, datetime

print(time.time(), datetime.now(UTC).timestamp(), time.monotonic())
"""


@pytest.mark.parametrize("seconds", [300, -300])
class TestAShiftedClock:
    def test_shifts_every_wall_clock_of_python(self, seconds: int) -> None:
        started, output = time(), monotonic()

        with shifted(seconds):
            clocks = [time(), time_ns() / 1e9, datetime.now(UTC).timestamp(), datetime.now().astimezone().timestamp()]
            clocks += [current_millis() / 1e3]
            unshifted = [monotonic(), perf_counter()]

        assert clocks == pytest.approx([started + seconds] * 5, abs=2)
        assert unshifted == pytest.approx([output, perf_counter()], abs=2)
        assert time() == pytest.approx(started, abs=2)

    def test_keeps_its_normal_speed(self, seconds: int) -> None:
        with shifted(seconds):
            first, begun = time(), monotonic()
            wait_until(lambda: time() > first + 0.1)

            assert time() - first == pytest.approx(monotonic() - begun, abs=1)

    def test_does_not_shift_the_clock_of_the_database(self, postgres: Path, seconds: int) -> None:
        with shifted(seconds), connect(postgres) as direct:
            row = direct.execute("SELECT clock_timestamp()").fetchone()

            assert row
            assert (datetime.now(UTC) - row[0]).total_seconds() == pytest.approx(seconds, abs=2)

    def test_shifts_the_heartbeats_of_dramatiq(self, valkey: Path, seconds: int) -> None:
        with shifted(seconds):
            broker = redis_broker(
                settings_with("postgresql:///nowhere").model_copy(update={"redis_url": f"unix://{valkey}"})
            )
            broker.do_qsize("any")

        heartbeat = broker.client.zscore("tenantry:__heartbeats__", broker.broker_id)
        now, _ = broker.client.time()
        broker.client.close()
        assert heartbeat is not None
        assert heartbeat / 1000 - now == pytest.approx(seconds, abs=2)

    def test_shifts_the_clock_of_a_whole_process(self, tmp_path: Path, seconds: int) -> None:
        (tmp_path / "clocks_seen.py").write_text(CLOCKS)
        command = [sys.executable, "-m", "tests.conformance.field.clocks", str(seconds), "clocks_seen"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

        assert [float(word) for word in output.split()] == pytest.approx(
            [time() + seconds, time() + seconds, monotonic()], abs=30
        )


def test_a_worker_on_a_shifted_clock_parses_its_options() -> None:
    command = [sys.executable, "-m", "tests.conformance.field.clocks", "-300", "workers", "--help"]

    help_text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert help_text.startswith("usage: python -m workers")
