"""State and its lawful changes: tables with policies, operations, rules."""
