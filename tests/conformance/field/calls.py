"""External calls of the steps."""

CALLS = {
    "allocate_storage": "storage.create",
    "allocate_identity": "identity.create",
    "allocate_traffic": "traffic.reserve",
    "apply_schema": "storage.migrate",
    "deploy_workloads": "deployer.deploy",
    "await_readiness": "deployer.health",
}
"""The external call of each step."""

LAST_CALL = CALLS["await_readiness"]
"""The last call before the pivot."""

UNDONE_BY = {
    "storage.create": "storage.destroy",
    "identity.create": "identity.destroy",
    "traffic.reserve": "traffic.release",
    "deployer.deploy": "deployer.tear_down",
}
"""The calls that allocate a resource, with the calls that release it."""
