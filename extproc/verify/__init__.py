"""Is this answer acceptable? Pure checks of an answer against what its request and the operator demand."""
