"""A relay passes on what it is given, until it is told otherwise."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tests.conformance.field.relay import Filter, Relay
from tests.conformance.field.relayed import BIG, client, connect
from tests.waiting import wait_until


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
