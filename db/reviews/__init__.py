"""Reviews of what somebody has bought."""
