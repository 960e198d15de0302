"""Push notifications: the devices that want them, and what was handed to whom."""
