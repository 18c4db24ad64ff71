"""Dual-pool token-budget routing (arXiv 2604.08075, 2604.09613), run again with the arm that the papers lack."""

from loadgen.reproduce.dual_pool.study import DualPoolStudy

STUDY = DualPoolStudy()
