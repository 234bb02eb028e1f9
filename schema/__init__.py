"""The GraphQL schema. Import nothing here: ``root`` imports the resolvers, which import the other modules."""
