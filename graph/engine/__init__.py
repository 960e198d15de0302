"""The engine: a document becomes one SQL statement, and its answer becomes bytes."""
