"""Activities: the truths and dares that players are given, and how an AI makes more of them."""
