"""What the steps call outside."""

CALLS = {
    "allocate_storage": "storage.create",
    "allocate_identity": "identity.create",
    "allocate_traffic": "traffic.reserve",
    "apply_schema": "storage.migrate",
    "deploy_workloads": "deployer.deploy",
    "await_readiness": "deployer.health",
}
"""What each step calls outside."""

LAST_CALL = CALLS["await_readiness"]
"""After it comes the point of no return."""

UNDONE_BY = {
    "storage.create": "storage.destroy",
    "identity.create": "identity.destroy",
    "traffic.reserve": "traffic.release",
    "deployer.deploy": "deployer.tear_down",
}
"""The calls that take something, and those that undo them."""
