"""The column types of the models: checked text for closed sets, times with a zone, named constraints."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import BigInteger, DateTime, Enum, Interval, MetaData
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text, TypeEngine
from sqlalchemy.types import Uuid as UuidType
from sqlmodel import Field, SQLModel

metadata: MetaData = SQLModel.metadata
metadata.naming_convention = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(constraint_name)s",
}

RETIRED_COLUMNS = frozenset({("runs", "nudged_at")})
"""Table and name of columns that only the release before this one uses. A migration of the next release drops them."""

INSTANT: TypeEngine[datetime] = DateTime(timezone=True)
DOCUMENT: TypeEngine[Any] = JSONB()
INTERVAL: TypeEngine[Any] = Interval()
BIGINT: TypeEngine[int] = BigInteger()
TEXT_ARRAY: TypeEngine[Any] = ARRAY(Text())
UUID_ARRAY: TypeEngine[Any] = ARRAY(UuidType())


def choice(options: type[StrEnum], *, sentence: str) -> Enum:
    """A column for a closed set of values: text with a CHECK constraint named ``sentence``.

    Not a native ENUM: it cannot drop a value, and SQLModel would store the names of the members in it.
    """
    return Enum(
        options,
        native_enum=False,
        create_constraint=True,
        length=32,
        name=sentence,
        values_callable=lambda members: [member.value for member in members],
    )


def new_id() -> UUID:
    """Generate a UUIDv7: unique, and ordered by creation time."""
    return uuid_utils.compat.uuid7()


def primary_key() -> Any:  # noqa: ANN401  # the type that SQLModel's Field returns
    """A primary key that is generated here, not by the database."""
    return Field(default_factory=new_id, primary_key=True)


def instant(*, optional: bool = False) -> Any:  # noqa: ANN401  # the same
    """A column for a time with its zone. The caller sets it, from the database's clock."""
    return Field(default=None, sa_type=INSTANT, nullable=True) if optional else Field(sa_type=INSTANT, nullable=False)
