"""Outcomes turned into observations for the estimators: the only write-back."""
