"""Trusted documents: clients can send the hash of a document on the operator's list instead of its text.

The settings can require trusted documents: then all other documents are refused.
"""

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
"""Stands for the text of a document that is named by hash: a GraphQL comment, which every transport accepts."""


class UnknownDocument(RequestRefused):
    """There is no trusted document with this hash."""

    code = "PERSISTED_QUERY_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """The documents by the SHA-256 of their text. ``only``: other documents are refused."""

    documents: Mapping[str, str] = field(default_factory=dict)
    only: bool = False

    def text_of(self, text: str, *, may_read_schema: bool) -> str:
        """The text, or the document that it refers to. Raises UnknownDocument, Forbidden."""
        if reference := REFERENCE.fullmatch(text):
            return self._document(reference[1])
        if self.only and not may_read_schema and _sha256(text) not in self.documents:
            raise Forbidden("This server executes trusted documents only, and this document is not one of them.")
        return text

    def _document(self, sha256: str) -> str:
        if sha256 not in self.documents:
            raise UnknownDocument("There is no trusted document with this hash.")
        return self.documents[sha256]


class TrustedDocumentsOnly(SchemaExtension):
    """Resolves references before parsing. Callers with the right to read the schema may send any document."""

    def __init__(self, trusted: TrustedDocuments) -> None:
        self._trusted = trusted

    def on_parse(self) -> Iterator[None]:
        """Replace a reference by the document, or refuse the document."""
        execution = self.execution_context
        caller = execution.context.caller if isinstance(execution.context, Context) else None
        may_read_schema = caller is not None and Permission.READ_SCHEMA.value in caller.scopes
        execution.query = self._trusted.text_of(execution.query or "", may_read_schema=may_read_schema)
        yield


def load_trusted_documents(settings: Settings) -> TrustedDocuments:
    """Read the file that TENANTRY_TRUSTED_DOCUMENTS names. Raises SettingsRefused."""
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
    """The reference that replaces a missing ``query`` when the request names a document by hash, otherwise None.

    A request names it as ``documentId`` (GraphQL over HTTP, appendix "Persisted Documents") or as Apollo's
    ``persistedQuery``.
    """
    extensions = request.get("extensions")
    persisted = extensions.get("persistedQuery") if isinstance(extensions, Mapping) else None
    document_id = persisted.get("sha256Hash") if isinstance(persisted, Mapping) else request.get("documentId")
    sha256 = _hash_in(document_id) if request.get("query") is None and isinstance(document_id, str) else None
    return f"#sha256:{sha256}" if sha256 else None


def _hash_in(document_id: str) -> str | None:
    found = HASH.fullmatch(document_id)
    return found[1] if found else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
