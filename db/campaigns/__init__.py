"""Campaigns: a workflow calls everybody on a list, within its hours."""
