"""The embedded servers start with nothing else installed, and stop with the process that started them."""

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


def test_the_database_of_a_test_is_migrated(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        plans = connection.execute("SELECT code FROM plans ORDER BY code").fetchall()

    assert plans == [("enterprise",), ("free",), ("pro",), ("starter",)]
