"""The page of text that greets whoever brought the product up."""

from pathlib import Path
from textwrap import dedent

from devserver.options import HOST, Options

CREATE = (
    r'{"query": "mutation { createTenant(input: {slug: \"shop\", plan: \"starter\", firstAdminEmail: '
    r'\"ada@example.com\"}) { tenant { id state url } userErrors { message } } }"}'
)
CANCEL = (
    r'{"query": "mutation { cancelProvisioning(input: {tenantId: \"ID\", reason: \"typo\"}) '
    r'{ tenant { state } run { status } userErrors { message } } }"}'
)


def welcome(options: Options, psql: str) -> str:
    """Say where everything is and what to try first. Every command works as printed, from the project's root."""
    data, base = _short(options.data), f"http://{HOST}:{options.port}"
    return dedent(f"""\

        Tenantry is up. {_remarks(options)}

          Dashboard {base}/dashboard     sign in as anybody the seed made
          API       {base}/graphql     GraphiQL in a browser; POST and websocket (graphql-transport-ws)
          Health    {base}/readyz
          Tenants   http://<tenant>-<organisation>.localhost:{options.port}
          Tokens    {data}/tokens.json     acme, globex: owner, admin, viewer, partner; support
          Mails     {data}/mails/
          Logs      {data}/logs/
          Database  {psql.removeprefix(f"{Path.cwd()}/")}

        Try first, in another terminal:

          TOKEN=$(python3 -c "import json; print(json.load(open('{data}/tokens.json'))['acme']['owner'])")

          curl -s {base}/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
            -d '{CREATE}'

          curl -i http://shop-acme.localhost:{options.port}/.well-known/jwks.json     # 404 until it is ACTIVE

        To cancel in flight, start with --pace 3, create another slug, and send this with the tenant's id:

          curl -s {base}/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
            -d '{CANCEL}'

        make demo shows the whole story by itself. Ctrl-C stops everything.
        """)


def _remarks(options: Options) -> str:
    count = options.worker_processes
    remarks = [f"{count} worker process{'es' if count > 1 else ''}."]
    if options.world == "simulated":
        remarks = [
            "The outside is simulated in memory, so one worker process does all the work,",
            "and a tenant's address, which has no key to show, answers 503 when it is ACTIVE.",
        ]
    if options.pace:
        remarks.append(f"Every step takes {options.pace:g} s longer, to be watched and cancelled.")
    return " ".join(remarks)


def _short(path: Path) -> str:
    """Name a path from here when it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
