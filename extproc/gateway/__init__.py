"""Renders and checks Envoy's configuration; knows Envoy's typed messages and reads nothing but the settings."""
