"""Pure functions from facts, estimates and a fleet snapshot to a plan."""
