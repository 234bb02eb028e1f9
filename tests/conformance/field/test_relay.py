"""A relay forwards all bytes until it is cut or hangs."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tests.conformance.field.relay import Filter, Relay
from tests.conformance.field.relay_clients import BIG, client, connect
from tests.waiting import wait_until


class TestARelay:
    def test_forwards_all_bytes_in_both_directions(self, valkey: Path, relay_socket: Path) -> None:
        with Relay(valkey, relay_socket) as relay, client(relay) as through, client(valkey) as direct:
            through.set("big", b"x" * BIG)

            assert direct.get("big") == through.get("big") == b"x" * BIG
            assert relay.forwarded > 2 * BIG
            assert (relay.connections, relay.cut_connections) == (1, 0)

    def test_forwards_many_connections_at_once(self, postgres: Path, relay_socket: Path) -> None:
        def count(_: int) -> int:
            with connect(relay) as connection:
                return len(connection.execute("SELECT generate_series(1, 20000)").fetchall())

        with Relay(postgres, relay_socket) as relay, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(count, range(24))) == [20000] * 24
            assert (relay.connections, relay.cut_connections) == (24, 0)

    def test_that_is_cut_closes_connections_and_refuses_new_ones_until_restored(
        self, valkey: Path, relay_socket: Path
    ) -> None:
        with Relay(valkey, relay_socket) as relay, client(relay) as through, client(relay) as other:
            through.ping()

            relay.cut()

            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    through.ping()
            with pytest.raises(redis.ConnectionError):
                other.ping()
            assert (relay.connections, relay.cut_connections) == (1, 1)

            relay.restore()

            assert through.ping()
            assert other.ping()
            assert (relay.connections, relay.cut_connections) == (3, 1)

    def test_that_hangs_accepts_connections_and_does_not_answer(self, valkey: Path, relay_socket: Path) -> None:
        with Relay(valkey, relay_socket) as relay, client(relay, socket_timeout=0.1) as through:
            relay.hang()

            for _ in range(2):
                with pytest.raises(redis.TimeoutError):
                    through.ping()
            wait_until(lambda: relay.connections == 2)

    def test_that_hangs_does_not_answer_even_if_the_server_is_down(self, relay_socket: Path) -> None:
        with (
            Relay(relay_socket.with_name("no-server"), relay_socket) as relay,
            client(relay, socket_timeout=0.1) as through,
        ):
            relay.hang()

            with pytest.raises(redis.TimeoutError):
                through.ping()

    def test_that_hung_loses_no_requests(self, valkey: Path, relay_socket: Path) -> None:
        with (
            Relay(valkey, relay_socket) as relay,
            client(relay) as known,
            client(relay) as fresh,
            ThreadPoolExecutor() as pool,
        ):
            known.delete("counter")
            relay.hang()
            increments = [pool.submit(one.incr, "counter") for one in (known, fresh)]
            wait_until(lambda: relay.connections == 2)
            with client(valkey) as direct:
                assert direct.get("counter") is None

            relay.restore()

            assert {one.result() for one in increments} == {1, 2}

    def test_that_hangs_can_be_cut(self, valkey: Path, relay_socket: Path) -> None:
        with Relay(valkey, relay_socket) as relay, client(relay) as through, ThreadPoolExecutor() as pool:
            through.ping()
            relay.hang()
            waiting = pool.submit(through.ping)

            relay.cut()

            assert isinstance(waiting.exception(), redis.ConnectionError)

    def test_closes_the_connection_to_a_server_that_is_down(self, relay_socket: Path) -> None:
        with Relay(relay_socket.with_name("no-server"), relay_socket) as relay, client(relay) as through:
            with pytest.raises(redis.ConnectionError):
                through.ping()
            assert relay.connections == 1

    def test_closes_both_sides_when_one_side_closes(self, relay_socket: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as near:
            target = relay_socket.with_name("server")
            server.bind(str(target))
            server.listen()
            with Relay(target, relay_socket) as relay:
                near.connect(str(relay.socket_path))
                far, _ = server.accept()
                near.sendall(b"the last word")
                near.close()

                with far:
                    far.settimeout(5)
                    assert far.recv(100) == b"the last word"
                    assert far.recv(100) == b""

    def test_raises_the_error_of_its_filter_when_it_stops(self, valkey: Path, relay_socket: Path) -> None:
        class Clumsy(Filter):
            def reply(self, data: bytes) -> bytes:
                raise LookupError(data)

        class ClumsyRelay(Relay):
            def filter(self) -> Filter:
                return Clumsy()

        relay = ClumsyRelay(valkey, relay_socket)
        relay.start()
        with client(relay) as through, pytest.raises(redis.ConnectionError):
            through.ping()

        with pytest.raises(LookupError):
            relay.stop()
