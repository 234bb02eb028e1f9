"""GraphQL over HTTP, websockets and Server-Sent Events."""
