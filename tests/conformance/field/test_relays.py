"""The proxies and clocks of the field do what its scenarios believe of them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter, time, time_ns
from uuid import uuid4

import psycopg
import pytest
import redis
from dramatiq.common import current_millis
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devserver import places
from runtime.migrations import ROOT
from runtime.settings import Settings
from tests.conformance.field import pgwire, resp
from tests.conformance.field.broker_relay import LosesReplies
from tests.conformance.field.clocks import shifted
from tests.conformance.field.postgres_relay import CutsCommits, Fate
from tests.conformance.field.relay import Filter, Relay, Severed
from tests.outside import settings_with, wait_until
from tests.servers import _embedded, _valkey
from workers.broker import redis_broker

POSTGRES = ".s.PGSQL.5432"
BIG = 3_000_000


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with places.temporary("tenantry-relay-") as made:
        yield made


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Path]:
    """Always embedded ones, whatever the environment names: relays stand between Unix sockets."""
    with _embedded(folder) as url:
        yield Path(str(conninfo_to_dict(url)["host"])) / POSTGRES


@pytest.fixture(scope="module")
def valkey(folder: Path) -> Iterator[Path]:
    with _valkey(folder) as url:
        yield Path(url.removeprefix("unix://").partition("?")[0])


@pytest.fixture
def listen(folder: Path) -> Path:
    """A socket for a relay, in a folder of its own because libpq wants to choose the name."""
    own = folder / uuid4().hex[:8]
    own.mkdir()
    return own / POSTGRES


def client(relay: Relay | Path, **more: object) -> redis.Redis:
    """A client that does not try again by itself."""
    path = relay if isinstance(relay, Path) else relay.listen
    return redis.Redis.from_url(f"unix://{path}", **{"retry": None, **more})


def session(relay: Relay | Path, name: str = "tenantry-worker-1") -> psycopg.Connection:
    path = relay if isinstance(relay, Path) else relay.listen
    return psycopg.connect(
        make_conninfo(host=str(path.parent), user="postgres", dbname="tenantry", application_name=name)
    )


@contextmanager
def connect(relay: Relay | Path, name: str = "tenantry-worker-1") -> Iterator[psycopg.Connection]:
    """A session that commits at the end of the block. Psycopg itself leaves one open whose commit failed."""
    with closing(session(relay, name)) as connection, connection:
        yield connection


class TestARelay:
    def test_carries_everything_both_ways(self, valkey: Path, listen: Path) -> None:
        with Relay(valkey, listen) as relay, client(relay) as through, client(valkey) as direct:
            through.set("big", b"x" * BIG)

            assert direct.get("big") == through.get("big") == b"x" * BIG
            assert relay.carried > 2 * BIG
            assert (relay.links, relay.severed) == (1, 0)

    def test_carries_many_links_at_once(self, postgres: Path, listen: Path) -> None:
        def count(_: int) -> int:
            with connect(relay) as connection:
                return len(connection.execute("SELECT generate_series(1, 20000)").fetchall())

        with Relay(postgres, listen) as relay, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(count, range(24))) == [20000] * 24
            assert (relay.links, relay.severed) == (24, 0)

    def test_that_is_cut_ends_links_and_refuses_new_ones_until_it_is_mended(self, valkey: Path, listen: Path) -> None:
        with Relay(valkey, listen) as relay, client(relay) as through, client(relay) as other:
            through.ping()

            relay.cut()

            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    through.ping()
            with pytest.raises(redis.ConnectionError):
                other.ping()
            assert (relay.links, relay.severed) == (1, 1)

            relay.mend()

            assert through.ping()
            assert other.ping()
            assert (relay.links, relay.severed) == (3, 1)

    def test_that_hangs_takes_links_and_says_nothing(self, valkey: Path, listen: Path) -> None:
        with Relay(valkey, listen) as relay, client(relay, socket_timeout=0.1) as through:
            relay.hang()

            for _ in range(2):
                with pytest.raises(redis.TimeoutError):
                    through.ping()
            wait_until(lambda: relay.links == 2)

    def test_that_hangs_is_silent_even_when_the_server_is_away(self, listen: Path) -> None:
        with Relay(listen.with_name("nobody"), listen) as relay, client(relay, socket_timeout=0.1) as through:
            relay.hang()

            with pytest.raises(redis.TimeoutError):
                through.ping()

    def test_that_hung_loses_nothing(self, valkey: Path, listen: Path) -> None:
        with (
            Relay(valkey, listen) as relay,
            client(relay) as known,
            client(relay) as fresh,
            ThreadPoolExecutor() as pool,
        ):
            known.delete("counter")
            relay.hang()
            increments = [pool.submit(one.incr, "counter") for one in (known, fresh)]
            wait_until(lambda: relay.links == 2)
            with client(valkey) as direct:
                assert direct.get("counter") is None

            relay.mend()

            assert {one.result() for one in increments} == {1, 2}

    def test_that_hangs_can_be_cut(self, valkey: Path, listen: Path) -> None:
        with Relay(valkey, listen) as relay, client(relay) as through, ThreadPoolExecutor() as pool:
            through.ping()
            relay.hang()
            waiting = pool.submit(through.ping)

            relay.cut()

            assert isinstance(waiting.exception(), redis.ConnectionError)

    def test_ends_the_link_of_a_server_that_is_away(self, listen: Path) -> None:
        with Relay(listen.with_name("nobody"), listen) as relay, client(relay) as through:
            with pytest.raises(redis.ConnectionError):
                through.ping()
            assert relay.links == 1

    def test_ends_both_sides_when_either_does(self, listen: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as near:
            target = listen.with_name("server")
            server.bind(str(target))
            server.listen()
            with Relay(target, listen) as relay:
                near.connect(str(relay.listen))
                far, _ = server.accept()
                near.sendall(b"the last word")
                near.close()

                with far:
                    far.settimeout(5)
                    assert far.recv(100) == b"the last word"
                    assert far.recv(100) == b""

    def test_tells_what_its_filter_stumbled_over(self, valkey: Path, listen: Path) -> None:
        class Clumsy(Filter):
            def reply(self, data: bytes) -> bytes:
                raise LookupError(data)

        class ClumsyRelay(Relay):
            def filter(self) -> Filter:
                return Clumsy()

        relay = ClumsyRelay(valkey, listen)
        relay.start()
        with client(relay) as through, pytest.raises(redis.ConnectionError):
            through.ping()

        with pytest.raises(LookupError):
            relay.stop()


PING = b"*1\r\n$4\r\nPING\r\n"
FETCH = b"*5\r\n$4\r\nEVAL\r\n$18\r\nreturn {'message'}\r\n$1\r\n1\r\n$1\r\nn\r\n$5\r\nfetch\r\n"


def broker_settings(relay: Relay, protocol: int) -> Settings:
    url = f"unix://{relay.listen}?protocol={protocol}"
    return settings_with("postgresql:///nowhere").model_copy(update={"redis_url": url})


class TestARelayThatLosesReplies:
    @pytest.mark.parametrize("protocol", [2, 3])
    def test_leaves_their_messages_in_flight_at_a_worker_that_lives_on(
        self, valkey: Path, listen: Path, protocol: int
    ) -> None:
        queue = f"q{protocol}"
        with LosesReplies(valkey, listen, every=3) as relay, client(valkey) as direct:
            broker = redis_broker(broker_settings(relay, protocol), retries=1)
            for number in range(9):
                broker.do_enqueue(queue, f"id-{number}", f"message {number}")

            seen = [broker.do_fetch(queue, 1) for _ in range(6)]

            # The client asked again by itself after each loss, and so got the next message.
            assert seen == [[b"message %d" % number] for number in (0, 1, 3, 4, 6, 7)]
            assert broker.do_fetch(queue, 5) == []
            assert (relay.replies, relay.lost_replies, relay.lost_messages) == (9, 3, 3)
            assert relay.severed == 3
            in_flight = direct.smembers(f"tenantry:__acks__.{broker.broker_id}.{queue}")
            assert in_flight == {b"id-%d" % number for number in range(9)}
            broker.client.close()

    def test_counts_every_message_of_a_reply(self, valkey: Path, listen: Path) -> None:
        with LosesReplies(valkey, listen, every=1) as relay:
            broker = redis_broker(broker_settings(relay, 2), retries=0)
            for number in range(4):
                broker.do_enqueue("several", f"id-{number}", "message")

            with pytest.raises(redis.ConnectionError):
                broker.do_fetch("several", 10)

            assert (relay.replies, relay.lost_replies, relay.lost_messages) == (1, 1, 4)
            broker.client.close()

    def test_spares_all_other_replies_and_can_be_told_to_stop(self, valkey: Path, listen: Path) -> None:
        with LosesReplies(valkey, listen, every=1) as relay:
            broker = redis_broker(broker_settings(relay, 3), retries=0)
            assert broker.do_fetch("spared", 1) == []
            broker.do_enqueue("spared", "id", "message")
            assert broker.do_qsize("spared") == 1
            assert broker.client.lrange("tenantry:spared", 0, -1) == [b"id"]
            assert broker.client.eval("return ARGV", 1, "a key", "not fetch", "fetch") == [b"not fetch", b"fetch"]

            relay.every = 0

            assert broker.do_fetch("spared", 1) == [b"message"]
            assert (relay.replies, relay.lost_replies, relay.severed) == (1, 0, 0)
            broker.client.close()

    def test_passes_on_what_was_answered_before(self, valkey: Path, listen: Path) -> None:
        with LosesReplies(valkey, listen, every=1) as relay, socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(str(listen))

            raw.sendall(PING + FETCH + PING)

            heard = b""
            while more := raw.recv(100):
                heard += more
            assert heard == b"+PONG\r\n"
            assert relay.lost_messages == 1

    def test_knows_what_answers_a_request_from_what_is_said_unasked(self, listen: Path) -> None:
        link = LosesReplies(listen, listen, every=1).filter()
        assert link.request(PING + FETCH) == PING + FETCH

        assert link.reply(b">1\r\n+news\r\n") == b">1\r\n+news\r\n"
        assert link.reply(b"+PONG\r\n*1\r\n") == b"+PONG\r\n"
        with pytest.raises(Severed):
            link.reply(b"+message\r\n")


SPELT = (
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"$5\r\na\r\nbc\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"_\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+a\r\n~1\r\n+b\r\n",
    b">1\r\n+news\r\n",
    b"|1\r\n+ttl\r\n:9\r\n#t\r\n",
)
MEANT: list[resp.Value] = [
    b"OK",
    b"ERR no",
    b"12",
    b"a\r\nbc",
    None,
    None,
    None,
    [b"a", [b"1"]],
    [b"a", [b"b"]],
    [b"news"],
    b"t",
]


def test_values_are_read_however_they_arrive() -> None:
    buffer, found = bytearray(), []

    for byte in b"".join(SPELT):
        buffer.append(byte)
        if taken := resp.take(buffer):
            found.append(taken)

    assert [value for value, _ in found] == MEANT
    assert [spelt for _, spelt in found] == list(SPELT)
    assert [isinstance(value, resp.Push) for value, _ in found].count(True) == 1


@pytest.fixture
def table(postgres: Path) -> Iterator[str]:
    """A table whose second column may only be checked when a transaction commits."""
    name = f"t{uuid4().hex}"
    with connect(postgres) as direct:
        direct.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, other int REFERENCES {name} DEFERRABLE INITIALLY DEFERRED)"
        )
    yield name
    with connect(postgres) as direct:
        direct.execute(f"DROP TABLE {name}")


def ids_in(table: str, postgres: Path) -> set[int]:
    with connect(postgres) as direct:
        return {row[0] for row in direct.execute(f"SELECT id FROM {table}")}


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def greeting(name: str) -> bytes:
    return message(b"", b"\0\3\0\0user\0postgres\0application_name\0%s\0\0" % name.encode())


class SecondOfTwo(CutsCommits):
    """Lets the first commit be answered, and no later one."""

    def fate(self) -> Fate:
        self.commits += 1
        return Fate.ANSWERED if self.commits == 1 else Fate.NEVER_ANSWERED


class TestARelayThatCutsCommits:
    @pytest.mark.parametrize("pipelined", [False, True])
    def test_leaves_the_client_in_the_dark(self, postgres: Path, listen: Path, table: str, pipelined: bool) -> None:  # noqa: FBT001  # a case
        def insert(number: int) -> None:
            with connect(relay) as connection:
                if not pipelined:
                    connection.execute(f"INSERT INTO {table} VALUES (%s)", [number])
                    return
                with connection.pipeline():
                    connection.execute(f"INSERT INTO {table} VALUES (%s)", [number])
                    connection.commit()

        with CutsCommits(postgres, listen, share=1, seed=7) as relay:
            told = set()
            for number in range(20):
                before = relay.never_answered
                with pytest.raises(psycopg.OperationalError) as caught:
                    insert(number)
                told.add((type(caught.value), caught.value.sqlstate))
                assert (number in ids_in(table, postgres)) is (relay.never_answered > before)

        assert told == {(psycopg.OperationalError, None)}
        assert len(ids_in(table, postgres)) == relay.never_answered
        assert relay.commits == relay.severed == relay.never_sent + relay.never_answered == 20
        assert min(relay.never_sent, relay.never_answered) > 3

    def test_cuts_only_the_share_that_it_is_told(self, postgres: Path, listen: Path) -> None:
        def commits_until_the_link_ends() -> int:
            done = 0
            with connect(relay) as connection:
                while not connection.closed and done < 200:
                    try:
                        connection.execute("SELECT 1")
                        connection.commit()
                    except psycopg.OperationalError:
                        break
                    done += 1
            return done

        with CutsCommits(postgres, listen, share=0.2, seed=1) as relay:
            answered = sum(commits_until_the_link_ends() for _ in range(20))
            assert relay.commits == answered + 20
            assert 60 < relay.commits < 180

            relay.share = 0

            assert commits_until_the_link_ends() == 200

    def test_spares_those_whose_names_were_not_given(self, postgres: Path, listen: Path, table: str) -> None:
        with CutsCommits(postgres, listen, share=1, seed=1, names=("tenantry-worker", "other")) as relay:
            with connect(relay, "tenantry-api") as connection:
                connection.execute(f"INSERT INTO {table} VALUES (1)")
            with pytest.raises(psycopg.OperationalError), connect(relay, "others-worker") as connection:
                connection.execute("SELECT 1")

            assert (relay.links, relay.severed, relay.commits) == (2, 1, 1)
        assert ids_in(table, postgres) == {1}

    def test_leaves_alone_who_does_not_commit(self, postgres: Path, listen: Path, table: str) -> None:
        with CutsCommits(postgres, listen, share=1, seed=1) as relay, connect(relay) as connection:
            connection.execute("SELECT 'COMMIT'")
            connection.rollback()
            connection.autocommit = True
            connection.execute(f"INSERT INTO {table} VALUES (1)")

            assert (relay.commits, relay.severed) == (0, 0)
        assert ids_in(table, postgres) == {1}

    def test_passes_on_that_a_commit_was_refused(self, postgres: Path, listen: Path, table: str) -> None:
        refused = 0
        with CutsCommits(postgres, listen, share=1, seed=3) as relay:
            for _ in range(6):
                with closing(session(relay)) as link:
                    while not link.closed and refused < 100:
                        link.execute(f"INSERT INTO {table} VALUES (1, 2)")
                        with pytest.raises((psycopg.OperationalError, psycopg.IntegrityError)) as caught:
                            link.commit()
                        refused += isinstance(caught.value, psycopg.errors.ForeignKeyViolation)

            assert 3 < refused < 100
            assert (relay.commits, relay.never_sent, relay.never_answered) == (refused + 6, 6, 0)

    def test_withholds_the_answer_to_the_very_commit_that_it_chose(self, listen: Path) -> None:
        link = SecondOfTwo(listen, listen, share=1, seed=1).filter()
        sent = greeting("tenantry-worker") + 2 * message(b"Q", b"COMMIT\0")
        committed, ready = message(b"C", b"COMMIT\0"), message(b"Z", b"I")
        assert link.request(sent) == sent

        assert link.reply(ready + committed + ready) == ready + committed + ready
        with pytest.raises(Severed):
            link.reply(committed)

    def test_lets_a_statement_be_cancelled(self, postgres: Path, listen: Path) -> None:
        with (
            CutsCommits(postgres, listen, share=0, seed=1) as relay,
            ThreadPoolExecutor() as pool,
            closing(session(relay)) as link,
            connect(postgres) as direct,
        ):
            # A transaction sees one picture of all activity, however often it looks.
            direct.autocommit = True
            stuck = pool.submit(link.execute, "SELECT pg_sleep(30) /* to be cancelled */")
            query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%be cancelled */'"
            wait_until(lambda: direct.execute(query).fetchone())

            # Not cancel(): that keeps the GIL until the server answers, and the relay would wait for it for ever.
            link.cancel_safe()

            assert isinstance(stuck.exception(), psycopg.errors.QueryCanceled)


def test_messages_are_read_however_they_arrive() -> None:
    sent = [message(b"Q", b"BEGIN\0"), message(b"S", b""), message(b"Q", b" commit; \0")]
    buffer, found = bytearray(), []

    for byte in b"".join(sent):
        buffer.append(byte)
        if taken := pgwire.take(buffer):
            found.append(taken)

    statements = pgwire.Statements()
    assert found == sent
    assert [statements.commits(one) for one in found] == [False, False, True]


def test_a_prepared_commit_is_one_when_it_is_executed() -> None:
    statements = pgwire.Statements()
    script = [
        message(b"P", b"end\0COMMIT\0\0\0"),
        message(b"P", b"go\0SELECT 1\0\0\0"),
        message(b"B", b"a\0end\0\0\0\0\0\0\0"),
        message(b"B", b"b\0go\0\0\0\0\0\0\0"),
        message(b"E", b"b\0\0\0\0\0"),
        message(b"E", b"a\0\0\0\0\0"),
    ]

    assert [statements.commits(one) for one in script] == [False] * 5 + [True]


CLOCKS = """
import time
from datetime import UTC, datetime

print(time.time(), datetime.now(UTC).timestamp(), time.monotonic())
"""


@pytest.mark.parametrize("seconds", [300, -300])
class TestAShiftedClock:
    def test_is_what_python_tells(self, seconds: int) -> None:
        started, told = time(), monotonic()

        with shifted(seconds):
            clocks = [time(), time_ns() / 1e9, datetime.now(UTC).timestamp(), datetime.now().astimezone().timestamp()]
            clocks += [current_millis() / 1e3]
            unshifted = [monotonic(), perf_counter()]

        assert clocks == pytest.approx([started + seconds] * 5, abs=2)
        assert unshifted == pytest.approx([told, perf_counter()], abs=2)
        assert time() == pytest.approx(started, abs=2)

    def test_goes_on_at_its_pace(self, seconds: int) -> None:
        with shifted(seconds):
            first, begun = time(), monotonic()
            wait_until(lambda: time() > first + 0.1)

            assert time() - first == pytest.approx(monotonic() - begun, abs=1)

    def test_is_not_that_of_the_database(self, postgres: Path, seconds: int) -> None:
        with shifted(seconds), connect(postgres) as direct:
            row = direct.execute("SELECT clock_timestamp()").fetchone()

            assert row
            assert (datetime.now(UTC) - row[0]).total_seconds() == pytest.approx(seconds, abs=2)

    def test_is_the_one_by_which_dramatiq_tells_the_living_from_the_dead(self, valkey: Path, seconds: int) -> None:
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

    def test_is_that_of_a_whole_process(self, tmp_path: Path, seconds: int) -> None:
        (tmp_path / "clocks_seen.py").write_text(CLOCKS)
        command = [sys.executable, "-m", "tests.conformance.field.clocks", str(seconds), "clocks_seen"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

        assert [float(word) for word in told.split()] == pytest.approx(
            [time() + seconds, time() + seconds, monotonic()], abs=30
        )


def test_a_worker_takes_its_options_on_a_shifted_clock() -> None:
    command = [sys.executable, "-m", "tests.conformance.field.clocks", "-300", "workers", "--help"]

    help_text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert help_text.startswith("usage: python -m workers")
