"""The index at ``/``: the server's addresses, as a page or as JSON."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from server.web_pages import HEADERS

ENDPOINTS = {
    "/dashboard": "the dashboard",
    "/graphql": "GraphQL over POST and graphql-transport-ws; GraphiQL in a browser",
    "/graphql/stream": "GraphQL over Server-Sent Events",
    "/export/audit.csv": "the audit feed as CSV; /export/audit.jsonl as JSON Lines",
    "/healthz": "liveness check",
    "/readyz": "readiness check: database, migrations, broker, oldest due run",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenantry</title></head>
<body><h1>Tenantry</h1><p>A control plane for tenants.</p><ul>{items}</ul></body></html>
"""


async def index(request: Request) -> Response:
    """List the server's addresses."""
    if "text/html" in request.headers.get("accept", ""):
        items = "".join(f'<li><a href="{path}">{path}</a>: {purpose}</li>' for path, purpose in ENDPOINTS.items())
        return HTMLResponse(PAGE.format(items=items), headers=HEADERS)
    return JSONResponse({"name": "Tenantry", "places": ENDPOINTS})
