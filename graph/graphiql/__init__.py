"""The playground: GraphiQL 5, built once and served from this folder, nothing from elsewhere."""
