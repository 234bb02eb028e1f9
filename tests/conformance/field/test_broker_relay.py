"""The relay in front of the broker loses only replies that contain messages."""

import socket
from pathlib import Path

import pytest
import redis

from runtime.settings import Settings
from tests.builders import settings_with
from tests.conformance.field import resp
from tests.conformance.field.broker_relay import ReplyLosingRelay
from tests.conformance.field.relay import ConnectionCut, Relay
from tests.conformance.field.relay_clients import client
from workers.broker import redis_broker

PING = b"*1\r\n$4\r\nPING\r\n"
FETCH = b"*5\r\n$4\r\nEVAL\r\n$18\r\nreturn {'message'}\r\n$1\r\n1\r\n$1\r\nn\r\n$5\r\nfetch\r\n"


def broker_settings(relay: Relay, protocol: int) -> Settings:
    url = f"unix://{relay.socket_path}?protocol={protocol}"
    return settings_with("postgresql:///nowhere").model_copy(update={"redis_url": url})


class TestARelayThatLosesReplies:
    @pytest.mark.parametrize("protocol", [2, 3])
    def test_leaves_lost_messages_in_flight_at_a_live_worker(
        self, valkey: Path, relay_socket: Path, protocol: int
    ) -> None:
        queue = f"q{protocol}"
        with ReplyLosingRelay(valkey, relay_socket, every=3) as relay, client(valkey) as direct:
            broker = redis_broker(broker_settings(relay, protocol), retries=1)
            for number in range(9):
                broker.do_enqueue(queue, f"id-{number}", f"message {number}")

            seen = [broker.do_fetch(queue, 1) for _ in range(6)]

            # The client retried after each loss, and so got the next message.
            assert seen == [[b"message %d" % number] for number in (0, 1, 3, 4, 6, 7)]
            assert broker.do_fetch(queue, 5) == []
            assert (relay.replies, relay.lost_replies, relay.lost_messages) == (9, 3, 3)
            assert relay.cut_connections == 3
            in_flight = direct.smembers(f"tenantry:__acks__.{broker.broker_id}.{queue}")
            assert in_flight == {b"id-%d" % number for number in range(9)}
            broker.client.close()

    def test_counts_every_message_of_a_reply(self, valkey: Path, relay_socket: Path) -> None:
        with ReplyLosingRelay(valkey, relay_socket, every=1) as relay:
            broker = redis_broker(broker_settings(relay, 2), retries=0)
            for number in range(4):
                broker.do_enqueue("several", f"id-{number}", "message")

            with pytest.raises(redis.ConnectionError):
                broker.do_fetch("several", 10)

            assert (relay.replies, relay.lost_replies, relay.lost_messages) == (1, 1, 4)
            broker.client.close()

    def test_forwards_all_other_replies_and_can_be_switched_off(self, valkey: Path, relay_socket: Path) -> None:
        with ReplyLosingRelay(valkey, relay_socket, every=1) as relay:
            broker = redis_broker(broker_settings(relay, 3), retries=0)
            assert broker.do_fetch("spared", 1) == []
            broker.do_enqueue("spared", "id", "message")
            assert broker.do_qsize("spared") == 1
            assert broker.client.lrange("tenantry:spared", 0, -1) == [b"id"]
            assert broker.client.eval("return ARGV", 1, "a key", "not fetch", "fetch") == [b"not fetch", b"fetch"]

            relay.every = 0

            assert broker.do_fetch("spared", 1) == [b"message"]
            assert (relay.replies, relay.lost_replies, relay.cut_connections) == (1, 0, 0)
            broker.client.close()

    def test_forwards_the_replies_before_a_lost_one(self, valkey: Path, relay_socket: Path) -> None:
        with ReplyLosingRelay(valkey, relay_socket, every=1) as relay, socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(str(relay_socket))

            raw.sendall(PING + FETCH + PING)

            received = b""
            while more := raw.recv(100):
                received += more
            assert received == b"+PONG\r\n"
            assert relay.lost_messages == 1

    def test_tells_replies_from_push_messages(self, relay_socket: Path) -> None:
        reply_filter = ReplyLosingRelay(relay_socket, relay_socket, every=1).filter()
        assert reply_filter.request(PING + FETCH) == PING + FETCH

        assert reply_filter.reply(b">1\r\n+news\r\n") == b">1\r\n+news\r\n"
        assert reply_filter.reply(b"+PONG\r\n*1\r\n") == b"+PONG\r\n"
        with pytest.raises(ConnectionCut):
            reply_filter.reply(b"+message\r\n")


ENCODED = (
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
DECODED: list[resp.Value] = [
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


def test_values_are_read_from_chunks_of_any_size() -> None:
    buffer, found = bytearray(), []

    for byte in b"".join(ENCODED):
        buffer.append(byte)
        if taken := resp.take(buffer):
            found.append(taken)

    assert [value for value, _ in found] == DECODED
    assert [raw for _, raw in found] == list(ENCODED)
    assert [isinstance(value, resp.Push) for value, _ in found].count(True) == 1
