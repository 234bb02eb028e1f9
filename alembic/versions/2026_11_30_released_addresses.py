"""Released addresses: an address that was live is not given to another organisation for a year.

A trigger refuses it, so that no code path can forget the check. Callers cannot see the tenants of other organisations,
so the function that looks for them runs with the rights of the tables' owner and answers yes or no only.

May run beside: the release before it, which shows the violation as an internal error instead of as TAKEN.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

FUNCTIONS = """
CREATE FUNCTION address_belongs_to_another(of_address text, for_organisation uuid) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM tenants
        WHERE tenants.address = of_address AND tenants.organisation_id <> for_organisation
            AND (tenants.state <> 'DECOMMISSIONED' OR tenants.updated_at > clock_timestamp() - INTERVAL '365 days')
            AND EXISTS (
                SELECT FROM runs
                WHERE runs.tenant_id = tenants.id AND runs.kind = 'PROVISION' AND runs.status = 'SUCCEEDED'
            )
    );
END;

REVOKE EXECUTE ON FUNCTION address_belongs_to_another FROM PUBLIC;
GRANT EXECUTE ON FUNCTION address_belongs_to_another TO tenantry_api;

CREATE FUNCTION refuse_address_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF address_belongs_to_another(NEW.address, NEW.organisation_id) THEN
        RAISE unique_violation USING
            CONSTRAINT = 'a_live_address_stays_in_its_organisation',
            MESSAGE = 'the address was live for a tenant of another organisation within a year';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER addresses_stay_in_their_organisation BEFORE INSERT OR UPDATE OF address ON tenants
    FOR EACH ROW EXECUTE FUNCTION refuse_address_of_another();
"""
"""``address_belongs_to_another`` is VOLATILE, so that it sees what was committed since its statement began. A tenant
that is live counts too: one that another transaction is just decommissioning is no longer held by the unique index.
Index: tenants_of_an_address_newest_first.
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute("DROP TRIGGER addresses_stay_in_their_organisation ON tenants")
    op.execute("DROP FUNCTION refuse_address_of_another()")
    op.execute("DROP FUNCTION address_belongs_to_another(text, uuid)")
