"""Virtual time: the router's own code against simulated engines, as fast as the machine can compute."""
