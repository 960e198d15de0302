"""What commands share: the terminal, sentences for faults, and `tallygraph explain`."""
