"""What ``/`` says: what is here, for people and for programs."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from server.web_pages import HEADERS

PLACES = {
    "/dashboard": "the dashboard, for people",
    "/graphql": "GraphQL: POST, and graphql-transport-ws; GraphiQL for browsers",
    "/graphql/stream": "GraphQL over Server-Sent Events",
    "/export/audit.csv": "the audit feed as CSV; /export/audit.jsonl as JSON Lines",
    "/healthz": "whether this process answers",
    "/readyz": "whether everything it needs is there",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenantry</title></head>
<body><h1>Tenantry</h1><p>A control plane for tenants.</p><ul>{places}</ul></body></html>
"""


async def index(request: Request) -> Response:
    """Say what is here."""
    if "text/html" in request.headers.get("accept", ""):
        places = "".join(f'<li><a href="{path}">{path}</a>: {what}</li>' for path, what in PLACES.items())
        return HTMLResponse(PAGE.format(places=places), headers=HEADERS)
    return JSONResponse({"name": "Tenantry", "places": PLACES})
