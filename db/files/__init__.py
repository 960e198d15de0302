"""Files: where they are kept, links to them, and pictures."""
