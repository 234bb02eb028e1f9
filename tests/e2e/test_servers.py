"""The embedded servers come up with nothing else installed, and go away with whoever started them."""

import psycopg
import redis

from tests.servers import Servers


def test_postgres_answers(embedded: Servers) -> None:
    with psycopg.connect(embedded.database_url) as connection:
        answer = connection.execute("SHOW listen_addresses").fetchone()

    assert answer == ("",)


def test_valkey_never_evicts(embedded: Servers) -> None:
    with redis.Redis.from_url(embedded.redis_url) as broker:
        policy = broker.config_get("maxmemory-policy")

    assert policy == {"maxmemory-policy": "noeviction"}
