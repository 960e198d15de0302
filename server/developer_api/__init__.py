"""The API of developers under `/v1/`: plain JSON over the same operations as GraphQL."""
