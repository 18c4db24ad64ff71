"""Questions whose answers by each model were recorded as right or wrong, or drawn from figures fitted to records."""
