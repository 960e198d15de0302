"""State and its allowed changes: tables with policies, operations, rules."""
