"""Global ids: opaque to clients, composed of a type's name and a UUID."""

import base64
import binascii
from uuid import UUID

import strawberry

from provisioning.errors import NotFound
from schema.described import described_interface


@described_interface
class Node:
    """An object with a global id, by which Query.node reads it again."""

    id: strawberry.ID = strawberry.field(
        description="Global id: opaque, and unchanged as long as the object exists. Pass it to node to read the object "
        "again."
    )


def global_id(type_name: str, key: UUID) -> strawberry.ID:
    """The global id of an object."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).decode().rstrip("="))


def parts_of(text: str) -> tuple[str, UUID] | None:
    """The type's name and the UUID in a global id; None when the text is no global id."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        type_name, _, key = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition(":")
        return type_name, UUID(key)
    except (ValueError, binascii.Error):
        return None


def plain_key(text: str) -> UUID | None:
    """The UUID in a text in lower case with hyphens; None for any other text."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None


def uuid_of(type_name: str, text: str, *, called: str) -> UUID:
    """The UUID in a global id of this type. Raises NotFound, with ``called`` as the noun, for any other text."""
    parts = parts_of(text)
    if parts is None or parts[0] != type_name:
        raise NotFound(called)
    return parts[1]
