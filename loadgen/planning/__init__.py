"""How many instances a traffic needs under a service-level objective: pools, thresholds, savings. Behind `ttca plan`."""
