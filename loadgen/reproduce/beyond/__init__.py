"""All three papers at once: stacked one after the other, and fused into one plan."""

from loadgen.reproduce.beyond.study import BeyondStudy

STUDY = BeyondStudy()
