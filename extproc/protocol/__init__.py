"""Envoy's external-processing and access-log protocols without any I/O: the only package that knows its messages."""
