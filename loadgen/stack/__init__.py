"""The whole system as local processes: real Envoy, the service and a simulated fleet, for demos, tests and benchmarks."""
