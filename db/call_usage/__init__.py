"""What an organization's calls came to: counted and summed by day, workflow and campaign."""
