"""Live delivery under measurement: servers, subscribers, writers and the report."""
