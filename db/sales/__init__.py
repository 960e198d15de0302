"""Sales of stores: discounts, fees, what buyers have bought."""
