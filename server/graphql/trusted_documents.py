"""Trusted documents: those that the operator knows, which clients may name instead of sending, or have to."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from strawberry.extensions import SchemaExtension

from access.permissions import Permission
from runtime.settings import Settings, SettingsRefused
from schema.context import Context
from schema.errors import Forbidden, RequestRefused

HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
REFERENCE = re.compile(r"#sha256:([0-9a-f]{64})")
"""How a document that is only named travels to where it is looked up: as a comment, which every transport lets pass."""


class UnknownDocument(RequestRefused):
    """There is no trusted document of this hash."""

    code = "PERSISTED_QUERY_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """The documents by the SHA-256 of their text; ``only`` tells whether others are refused."""

    documents: Mapping[str, str] = field(default_factory=dict)
    only: bool = False

    def text_of(self, text: str, *, explores: bool) -> str:
        """The text, or the document that it names. Raises UnknownDocument, Forbidden."""
        if named := REFERENCE.fullmatch(text):
            return self._document(named[1])
        if self.only and not explores and _sha256(text) not in self.documents:
            raise Forbidden("Only documents that the operator of this server knows may be sent.")
        return text

    def _document(self, sha256: str) -> str:
        if sha256 not in self.documents:
            raise UnknownDocument("There is no document of this hash here.")
        return self.documents[sha256]


class TrustedDocumentsOnly(SchemaExtension):
    """Looks a document up before it is parsed. Whoever may explore the schema may send what comes to mind."""

    def __init__(self, trusted: TrustedDocuments) -> None:
        self._trusted = trusted

    def on_parse(self) -> Iterator[None]:
        """Put the document in the place of its name, or refuse it."""
        execution = self.execution_context
        caller = execution.context.caller if isinstance(execution.context, Context) else None
        explores = caller is not None and Permission.READ_SCHEMA.value in caller.scopes
        execution.query = self._trusted.text_of(execution.query or "", explores=explores)
        yield


def load_trusted_documents(settings: Settings) -> TrustedDocuments:
    """Read the file that the settings name. Raises SettingsRefused."""
    if not settings.trusted_documents:
        return TrustedDocuments()
    try:
        documents = json.loads(Path(settings.trusted_documents).read_text())
    except (OSError, ValueError) as error:
        raise SettingsRefused(
            f"Invalid value for TENANTRY_TRUSTED_DOCUMENTS: the file cannot be read as JSON: {error}."
        ) from None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise SettingsRefused("Invalid value for TENANTRY_TRUSTED_DOCUMENTS: the file must map hashes to documents.")
    if wrong := next((name for name, text in documents.items() if _hash_in(name) != _sha256(text)), None):
        raise SettingsRefused(
            f"Invalid value for TENANTRY_TRUSTED_DOCUMENTS: {wrong[:80]!r} is not the SHA-256 of its document."
        )
    return TrustedDocuments({_sha256(text): text for text in documents.values()}, settings.trusted_only)


def reference_in(request: Mapping[str, object]) -> str | None:
    """The text that stands for a document which a request names and does not send.

    As ``documentId`` (GraphQL over HTTP, appendix "Persisted Documents") or as Apollo's ``persistedQuery``.
    """
    extensions = request.get("extensions")
    persisted = extensions.get("persistedQuery") if isinstance(extensions, Mapping) else None
    named = persisted.get("sha256Hash") if isinstance(persisted, Mapping) else request.get("documentId")
    sha256 = _hash_in(named) if request.get("query") is None and isinstance(named, str) else None
    return f"#sha256:{sha256}" if sha256 else None


def _hash_in(name: str) -> str | None:
    found = HASH.fullmatch(name)
    return found[1] if found else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
