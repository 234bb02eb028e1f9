"""The relay before the broker loses the replies that have messages in them, and nothing else."""

import socket
from pathlib import Path

import pytest
import redis

from runtime.settings import Settings
from tests.builders import settings_with
from tests.conformance.field import resp
from tests.conformance.field.broker_relay import LosesReplies
from tests.conformance.field.relay import Relay, Severed
from tests.conformance.field.relayed import client
from workers.broker import redis_broker

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
