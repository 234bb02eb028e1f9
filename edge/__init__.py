"""The built-in tenant runtime: serves the host names of tenants."""

from edge.app import edge_app
from edge.hosts import is_tenant_host

__all__ = ["edge_app", "is_tenant_host"]
