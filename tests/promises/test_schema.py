"""The committed schema is the served one, has all of the contract, describes every name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
    get_named_type,
)

import schema
from provisioning.errors import ProvisioningRefused
from schema.root import build_schema as served_schema
from schema.user_errors import REFUSALS
from server.limits.query_cost import CONNECTIONS
from tests.code_metrics.schema_text import descriptions, types_of

COMMITTED = Path(schema.__file__).parent / "schema.graphql"
CONTRACT = Path(__file__).parent / "contract.graphql"
ADDED_TYPES = """
    AbsenceCheck RunErrorCode Member MemberConnection MemberEdge MemberRole
    ServiceAccount ServiceAccountConnection ServiceAccountEdge
    InviteMemberInput InviteMemberPayload ChangeMemberRoleInput ChangeMemberRolePayload
    RemoveMemberInput RemoveMemberPayload CreateServiceAccountInput CreateServiceAccountPayload
    UpdateServiceAccountInput UpdateServiceAccountPayload RotateServiceAccountTokenInput
    RotateServiceAccountTokenPayload RevokeServiceAccountInput RevokeServiceAccountPayload
    ProvisioningOptions SlugCheck
"""


@pytest.fixture(scope="module")
def ours() -> GraphQLSchema:
    return build_schema(COMMITTED.read_text())


def test_every_connection_counts_in_the_cost_of_an_operation(ours: GraphQLSchema) -> None:
    objects = [one for one in ours.type_map.values() if isinstance(one, GraphQLObjectType)]
    pages = {
        name for one in objects for name, field in one.fields.items()
        if get_named_type(field.type).name.endswith("Connection")
    }  # fmt: skip

    assert pages == CONNECTIONS


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    return build_schema(CONTRACT.read_text())


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert COMMITTED.read_text() == served_schema().as_str() + "\n", "run make schema"


def test_the_schema_breaks_nothing_of_the_contract(ours: GraphQLSchema, contract: GraphQLSchema) -> None:
    breaking = find_breaking_changes(contract, ours)

    assert [change.description for change in breaking] == []


def test_every_signature_of_the_contract_is_kept_to_the_letter(ours: GraphQLSchema, contract: GraphQLSchema) -> None:
    assert sorted(set(signatures(contract)) - set(signatures(ours))) == []


def test_every_addition_to_the_contract_is_listed(ours: GraphQLSchema, contract: GraphQLSchema) -> None:
    added = set(signatures(ours)) - set(signatures(contract))
    types = {one.name for one in types_of(ours)} - {one.name for one in types_of(contract)}

    assert types == set(ADDED_TYPES.split())
    assert sorted(one for one in added if type_in(one) not in types) == [
        "AuditEvent.cursor: String!",
        "Mutation.changeMemberRole(input: ChangeMemberRoleInput!)",
        "Mutation.changeMemberRole: ChangeMemberRolePayload",
        "Mutation.createServiceAccount(input: CreateServiceAccountInput!)",
        "Mutation.createServiceAccount: CreateServiceAccountPayload",
        "Mutation.inviteMember(input: InviteMemberInput!)",
        "Mutation.inviteMember: InviteMemberPayload",
        "Mutation.removeMember(input: RemoveMemberInput!)",
        "Mutation.removeMember: RemoveMemberPayload",
        "Mutation.revokeServiceAccount(input: RevokeServiceAccountInput!)",
        "Mutation.revokeServiceAccount: RevokeServiceAccountPayload",
        "Mutation.rotateServiceAccountToken(input: RotateServiceAccountTokenInput!)",
        "Mutation.rotateServiceAccountToken: RotateServiceAccountTokenPayload",
        "Mutation.updateServiceAccount(input: UpdateServiceAccountInput!)",
        "Mutation.updateServiceAccount: UpdateServiceAccountPayload",
        "Organization.members(after: String)",
        "Organization.members(before: String)",
        "Organization.members(first: Int)",
        "Organization.members(last: Int)",
        "Organization.members: MemberConnection!",
        "Organization.serviceAccounts(after: String)",
        "Organization.serviceAccounts(before: String)",
        "Organization.serviceAccounts(first: Int)",
        "Organization.serviceAccounts(last: Int)",
        "Organization.serviceAccounts: ServiceAccountConnection!",
        "ProvisioningEventKind.COMPENSATION_DELAYED",
        "ProvisioningEventKind.COMPENSATION_RESUMED",
        "ProvisioningEventKind.STEP_INTERRUPTED",
        "ProvisioningRun.abandonedResources: [Resource!]!",
        "ProvisioningRun.absenceChecks: [AbsenceCheck!]!",
        "ProvisioningRun.error: String",
        "ProvisioningRun.errorCode: RunErrorCode",
        "ProvisioningRun.failedStep: String",
        "ProvisioningRun.nextAbsenceCheckAt: DateTime",
        "ProvisioningRun.stuckError: String",
        "ProvisioningRun.stuckSince: DateTime",
        "ProvisioningRun.stuckStep: String",
        "Query.provisioningOptions: ProvisioningOptions!",
        "Query.slugCheck(slug: String!)",
        "Query.slugCheck: SlugCheck!",
        "Resource.abandonedAt: DateTime",
        "Resource.abandonedBy: Actor",
        "Resource.abandonedReason: String",
        "Resource.absentAt: DateTime",
        "RunStep.attemptDeadlineAt: DateTime",
        "RunStep.attemptStartedAt: DateTime",
        "RunStep.compensationDelayedAt: DateTime",
        "RunStep.compensationError: String",
        "RunStep.compensationStartedAt: DateTime",
        "RunStep.maxCompensationAttempts: Int!",
        "Tenant.abandonedResources: [Resource!]!",
        "TenantFilter.hasAbandonedResources: Boolean",
        "UserErrorCode.TOO_SOON",
    ]


def type_in(signature: str) -> str:
    """The type that a signature belongs to."""
    found = re.match(r"(?:GraphQL\w+ )?(\w+)", signature)
    assert found
    return found[1]


def test_every_name_of_the_schema_is_described(ours: GraphQLSchema) -> None:
    assert [name for name, description in descriptions(ours) if not description] == []


def signatures(some: GraphQLSchema) -> Iterator[str]:
    """Every type, field, argument, default and value, a line each."""
    for one in types_of(some):
        yield f"{type(one).__name__} {one.name}"
        if isinstance(one, GraphQLObjectType | GraphQLInterfaceType):
            yield from (f"{one.name} implements {interface.name}" for interface in one.interfaces)
            for name, field in one.fields.items():
                yield f"{one.name}.{name}: {field.type}"
                for argument, details in field.args.items():
                    yield f"{one.name}.{name}({argument}: {details.type}{default_of(details)})"
        if isinstance(one, GraphQLInputObjectType):
            yield from (f"{one.name}.{name}: {field.type}{default_of(field)}" for name, field in one.fields.items())
        if isinstance(one, GraphQLEnumType):
            yield from (f"{one.name}.{value}" for value in one.values)


def default_of(details: object) -> str:
    node = getattr(details, "ast_node", None)
    value = getattr(node, "default_value", None)
    return f" = {getattr(value, 'value', value)}" if value else ""


def mutation_inputs(some: GraphQLSchema) -> dict[str, GraphQLInputObjectType]:
    assert some.mutation_type is not None
    named = {name: get_named_type(field.args["input"].type) for name, field in some.mutation_type.fields.items()}
    return {name: one for name, one in named.items() if isinstance(one, GraphQLInputObjectType)}


def test_every_refusal_of_the_domain_has_a_user_error() -> None:
    unlisted, refusals = [ProvisioningRefused], set()
    while unlisted:
        found = unlisted.pop().__subclasses__()
        unlisted += found
        refusals |= set(found)

    assert refusals == set(REFUSALS), "each needs its line in schema/user_errors.py (CONTRIBUTING.md)"


def test_every_mutation_takes_an_idempotency_key(ours: GraphQLSchema) -> None:
    assert ours.mutation_type is not None
    keyed = [name for name, one in mutation_inputs(ours).items() if "idempotencyKey" in one.fields]

    assert keyed == list(ours.mutation_type.fields)


def test_every_mutation_of_a_tenant_takes_an_expected_version(ours: GraphQLSchema) -> None:
    of_one_tenant = {name: one for name, one in mutation_inputs(ours).items() if "tenantId" in one.fields}

    assert [name for name, one in of_one_tenant.items() if "expectedVersion" not in one.fields] == []
    assert len(of_one_tenant) >= 9
