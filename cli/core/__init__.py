"""What commands share and are made of: the terminal, faults, `explain`, lifecycles."""
