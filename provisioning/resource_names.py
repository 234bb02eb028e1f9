"""The names of a run's resources in external systems, derived so that a compensation needs no stored names."""

from dataclasses import dataclass
from uuid import UUID

ADDRESS_CHARACTERS_IN_A_SCHEMA_NAME = 40
"""PostgreSQL truncates names at 63 bytes. The tag keeps shortened names unique."""


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The names of the resources of one run.

    They are derived from the tenant's address (slug and organisation), the tenant's id (a recreated tenant has the
    same address and counts its runs from 1 again) and the run number. No two runs share a name, except the host
    name, which belongs to the address and is claimed by ``stem``.
    """

    tenant_id: UUID
    address: str
    run_number: int

    @property
    def tag(self) -> str:
        """Eight hexadecimal digits that distinguish this tenant from earlier tenants with the same address."""
        return self.tenant_id.hex[-8:]

    @property
    def stem(self) -> str:
        """The name of this run in external systems, and the idempotency key of the resources created for it."""
        return f"{self.address}-{self.tag}-r{self.run_number}"

    @property
    def schema(self) -> str:
        """The schema in the tenants' Postgres."""
        return f"t_{self._short}_{self.tag}_r{self.run_number}"

    @property
    def role(self) -> str:
        """The login role that owns the schema. It has the same name, because roles and schemas do not collide."""
        return self.schema

    @property
    def signing_key(self) -> str:
        """The tenant's ES256 key."""
        return f"key-{self.stem}"

    @property
    def account(self) -> str:
        """The first administrator's account."""
        return f"account-{self.stem}"

    @property
    def workload(self) -> str:
        """The tenant's workload at the deployer."""
        return f"workload-{self.stem}"

    @property
    def _short(self) -> str:
        return self.address[:ADDRESS_CHARACTERS_IN_A_SCHEMA_NAME].replace("-", "_")
