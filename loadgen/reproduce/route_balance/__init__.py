"""RouteBalance (arXiv 2606.17949): quality, price and latency weighed in one score, against model-then-instance routers."""

from loadgen.reproduce.route_balance.study import STUDY

__all__ = ["STUDY"]
