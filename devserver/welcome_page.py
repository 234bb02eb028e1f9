"""The welcome page that is printed when the product has started."""

import shlex
from pathlib import Path
from textwrap import dedent

from devserver.faults import FAULTS
from devserver.options import HOST, Options

CREATE = (
    r'{"query": "mutation { createTenant(input: {slug: \"shop\", plan: \"starter\", firstAdminEmail: '
    r'\"ada@example.com\"}) { tenant { id state url } userErrors { message } } }"}'
)
CANCEL = (
    r'{"query": "mutation { cancelProvisioning(input: {tenantId: \"ID\", reason: \"typo\"}) '
    r'{ tenant { state } run { status } userErrors { message } } }"}'
)


def text(options: Options, psql: str) -> str:
    """Return the addresses, files and first commands. Each command works as printed in the project's root."""
    data, base = _short(options.data), f"http://{HOST}:{options.port}"
    tokens = shlex.quote(f"{data}/tokens.json")
    return dedent(f"""\

        Tenantry is running. {_remarks(options)}

          Dashboard {base}/dashboard     sign in with any token of the seed
          API       {base}/graphql     GraphiQL in a browser; POST and websocket (graphql-transport-ws)
          Health    {base}/readyz
          Tenants   http://<tenant>-<organisation>.localhost:{options.port}
          Tokens    {data}/tokens.json     acme, globex: owner, admin, viewer, partner; support
          Mails     {data}/mails/
          Logs      {data}/logs/
          Database  {psql.removeprefix(f"{Path.cwd()}/")}

        Try this in another terminal:

          TOKEN=$(python3 -c "import json; print(json.load(open(0))['acme']['owner'])" < {tokens})

          curl -s {base}/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
            -d '{CREATE}'

          curl -i http://shop-acme.localhost:{options.port}/.well-known/jwks.json     # 404 until the tenant is ACTIVE

        {_how_to_cancel(options)}

          curl -s {base}/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
            -d '{CANCEL}'

        make demo runs all of this by itself. Ctrl-C stops everything.
        """) + _faults(options)


def _how_to_cancel(options: Options) -> str:
    slower = "" if options.pace else "start with --pace 3, "
    return f"To cancel a run, {slower}create a tenant with another slug, and send this with its id:"


def _remarks(options: Options) -> str:
    count = options.worker_processes
    remarks = [f"{count} worker process{'es' if count > 1 else ''}."]
    if options.world == "simulated":
        remarks = [
            "Resources are simulated in memory, so there is one worker process,",
            "and the address of an ACTIVE tenant answers 503, because it has no signing key.",
        ]
    if options.pace:
        remarks.append(f"Every step takes {options.pace:g} s longer, so that you can watch it and cancel it.")
    return " ".join(remarks)


def _faults(options: Options) -> str:
    if not options.faults:
        return ""
    lines = [f"  {word:9} {effect}" for word, effect in FAULTS.items()]
    return "\n".join(["", "Words in a tenant's slug, such as shop-fail, make its deployer misbehave:", "", *lines, ""])


def _short(path: Path) -> str:
    """Return a path below the current directory as a relative path."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
