"""How a host is picked: the service's list first, and Envoy's own choice when there is none or it is used up."""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import LoadBalancingPolicy, LoadBalancingPolicyPolicy
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import LeastRequest
from envoy_data_plane.envoy.extensions.load_balancing_policies.override_host.v3 import (
    OverrideHost,
    OverrideHostOverrideHostSource,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.subset.v3 import (
    Subset,
    SubsetLbSubsetFallbackPolicy,
    SubsetLbSubsetSelector,
    SubsetLbSubsetSelectorLbSubsetSelectorFallbackPolicy,
)
from envoy_data_plane.envoy.type.metadata.v3 import (
    MetadataKey,
    MetadataKeyPathSegment,
)

from extproc.gateway.primitives import typed
from extproc.protocol import names

MODEL_KEY = "model"
"""Endpoint metadata in `envoy.lb`: the model and the aliases that the instance answers to, as a list."""

POOL_KEY = "pool"
"""Endpoint metadata in `envoy.lb`: the instance's pool."""


def least_request() -> LoadBalancingPolicy:
    """Pick the better of two hosts by the requests that this Envoy has in flight there."""
    return _policy("envoy.load_balancing_policies.least_request", LeastRequest(choice_count=2))


def by_model_and_pool(child: LoadBalancingPolicy) -> LoadBalancingPolicy:
    """Narrow the choice to instances that serve the body's model, and among them to the route's pool."""
    per_selector = SubsetLbSubsetSelectorLbSubsetSelectorFallbackPolicy
    subset = Subset(
        fallback_policy=SubsetLbSubsetFallbackPolicy.ANY_ENDPOINT,
        subset_selectors=[
            SubsetLbSubsetSelector(
                keys=[MODEL_KEY, POOL_KEY],
                fallback_policy=per_selector.KEYS_SUBSET,
                fallback_keys_subset=[MODEL_KEY],
            ),
            SubsetLbSubsetSelector(keys=[MODEL_KEY], fallback_policy=per_selector.ANY_ENDPOINT),
            SubsetLbSubsetSelector(keys=[POOL_KEY], fallback_policy=per_selector.ANY_ENDPOINT),
        ],
        allow_redundant_keys=True,
        list_as_any=True,
        subset_lb_policy=child,
    )
    return _policy("envoy.load_balancing_policies.subset", subset)


def override_host(child: LoadBalancingPolicy) -> LoadBalancingPolicy:
    """Take the hosts that the service lists, one per try, and say which one was taken."""
    policy = OverrideHost(
        override_host_sources=[OverrideHostOverrideHostSource(header=names.DESTINATION)],
        selected_host_key=MetadataKey(
            key=names.LB_NAMESPACE, path=[MetadataKeyPathSegment(key=names.DESTINATION_SERVED)]
        ),
        fallback_policy=child,
    )
    return _policy("envoy.load_balancing_policies.override_host", policy)


def _policy(name: str, message: LeastRequest | Subset | OverrideHost) -> LoadBalancingPolicy:
    return LoadBalancingPolicy(
        policies=[LoadBalancingPolicyPolicy(typed_extension_config=typed(name, message))]
    )
