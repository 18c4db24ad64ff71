"""Policies held against each other through real Envoy: open loop, recorded answers, time to the first correct answer."""
