"""Global ids: opaque to clients, a type's name and a UUID to us."""

import base64
import binascii
from uuid import UUID

import strawberry

from provisioning.errors import NotFound


@strawberry.interface(description="Anything that can be fetched again by its global id.")
class Node:
    """What has a global id."""

    id: strawberry.ID = strawberry.field(description="Global id. Opaque, stable for the life of the object.")


def global_id(type_name: str, key: UUID) -> strawberry.ID:
    """The global id of an object."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).decode().rstrip("="))


def parts_of(text: str) -> tuple[str, UUID] | None:
    """The type's name and the UUID in a global id; None when it is not one of ours."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        type_name, _, key = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition(":")
        return type_name, UUID(key)
    except (ValueError, binascii.Error):
        return None


def plain_key(text: str) -> UUID | None:
    """The UUID that is written like one, in lower case with its hyphens; None for every other way to write one."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None


def uuid_of(type_name: str, text: str, *, called: str) -> UUID:
    """The UUID in a global id of this type. Raises NotFound: an id of another type names nothing here."""
    parts = parts_of(text)
    if parts is None or parts[0] != type_name:
        raise NotFound(called)
    return parts[1]
