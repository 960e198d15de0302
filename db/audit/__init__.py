"""The audit log: what happened to accounts, credits and the deployment."""
