"""Stock Strawberry on Starlette: the peer of the API, as its documentation sets it up, served as the product is."""

import sys

import strawberry
import uvicorn
from starlette.applications import Starlette
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

ITEMS = 20


@strawberry.type
class Item:
    """An object with six fields, as many as the product's page is asked for."""

    id: strawberry.ID
    slug: str
    name: str
    region: str
    plan: str
    version: int


ALL_ITEMS = [
    Item(id=strawberry.ID(str(n)), slug=f"shop-{n}", name=f"Shop {n}", region="eu-central", plan="starter", version=n)
    for n in range(ITEMS)
]


@strawberry.type
class Query:
    """What every tutorial begins with, and a list."""

    @strawberry.field
    def hello(self) -> str:
        """Greet."""
        return "Hello World"

    @strawberry.field
    def items(self) -> list[Item]:
        """List objects that are in memory."""
        return ALL_ITEMS


def app() -> Starlette:
    """``/graphql`` without caches, ``/cached`` with those that Strawberry has."""
    cached = strawberry.Schema(Query, extensions=[lambda: ParserCache(128), lambda: ValidationCache(128)])
    application = Starlette()
    application.mount("/graphql", GraphQL(strawberry.Schema(Query)))
    application.mount("/cached", GraphQL(cached))
    return application


if __name__ == "__main__":
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), loop="asyncio", access_log=False, log_level="warning")
