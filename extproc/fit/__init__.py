"""Fits estimators to tables of outcomes, stores them, and holds them against published ones. Never on a request's path."""
