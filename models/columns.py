"""How columns are spelled here: closed choices as checked text, instants with a zone, constraints with names."""

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
LENGTH_OF_TIME: TypeEngine[Any] = Interval()
BIGINT: TypeEngine[int] = BigInteger()
TEXT_ARRAY: TypeEngine[Any] = ARRAY(Text())
UUID_ARRAY: TypeEngine[Any] = ARRAY(UuidType())


def choice(options: type[StrEnum], *, sentence: str) -> Enum:
    """A column holding one of a closed set: text with a CHECK called ``sentence``, never a native ENUM.

    A native ENUM cannot drop a value, and SQLModel would store member names in it.
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
    """A UUIDv7: unique, and sorted by the time it was made."""
    return uuid_utils.compat.uuid7()


def primary_key() -> Any:  # noqa: ANN401  # what SQLModel's Field returns fits any field
    """The primary key of a row that gets its id here and not from the database."""
    return Field(default_factory=new_id, primary_key=True)


def instant(*, optional: bool = False) -> Any:  # noqa: ANN401  # the same
    """A point in time, with its zone. The caller sets it, from the database's clock."""
    return Field(default=None, sa_type=INSTANT, nullable=True) if optional else Field(sa_type=INSTANT, nullable=False)
