"""Holds the simulated engine against measurements of real ones: fits its speed, reports the error it keeps."""
