"""LAAR's study: routing by latency over accuracy for long prompts in three languages."""

from loadgen.reproduce.laar.study import LaarStudy

STUDY = LaarStudy()
