"""Partners: who is connected with whom, and how well their profiles fit (from Attuned)."""
