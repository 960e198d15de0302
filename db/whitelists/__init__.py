"""Who may use what a developer made: whitelists by Roblox and Discord ids."""
