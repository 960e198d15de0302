"""A deliberately naive way to answer: graphql-core, and one small query for every row it meets."""
