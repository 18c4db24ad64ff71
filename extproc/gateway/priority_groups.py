"""The cluster specifier that picks a group of clusters for every try, which `envoy_data_plane` does not know yet.

Source: `envoy/extensions/router/cluster_specifiers/priority_group/v3/priority_group.proto` of Envoy 1.40.
"""

from __future__ import annotations

from dataclasses import dataclass

from betterproto2 import TYPE_MESSAGE, TYPE_STRING, Message, field
from envoy_data_plane.envoy.config.route.v3 import ClusterSpecifierPlugin
from envoy_data_plane.google.protobuf import UInt32Value
from envoy_data_plane.message_pool import default_message_pool

from extproc.gateway.primitives import typed

_PACKAGE = "envoy.extensions.router.cluster_specifiers.priority_group.v3"


@dataclass(eq=False, repr=False)
class ClusterWeight(Message):
    """A cluster of a group."""

    cluster_name: str = field(1, TYPE_STRING)
    weight: int | None = field(2, TYPE_MESSAGE, unwrap=lambda: UInt32Value, optional=True)


@dataclass(eq=False, repr=False)
class PriorityGroup(Message):
    """Clusters under a name, by which the dynamic metadata selects them."""

    name: str = field(1, TYPE_STRING)
    clusters: list[ClusterWeight] = field(2, TYPE_MESSAGE, repeated=True)  # noqa: RUF009 - betterproto2's way


@dataclass(eq=False, repr=False)
class PriorityGroupClusterSpecifier(Message):
    """The groups, and the namespace of the dynamic metadata that says which of them each try takes."""

    priority_groups: list[PriorityGroup] = field(1, TYPE_MESSAGE, repeated=True)  # noqa: RUF009 - betterproto2's way
    override_metadata_namespace: str = field(2, TYPE_STRING)


for _message in (ClusterWeight, PriorityGroup, PriorityGroupClusterSpecifier):
    default_message_pool.register_message(_PACKAGE, _message.__name__, _message)


def cluster_by_try(cluster_by_group: dict[str, str], *, metadata_namespace: str) -> ClusterSpecifierPlugin:
    """Pick the cluster of every try by the group that the request's dynamic metadata names for it."""
    specifier = PriorityGroupClusterSpecifier(
        priority_groups=[
            PriorityGroup(name=group, clusters=[ClusterWeight(cluster_name=cluster, weight=1)])
            for group, cluster in cluster_by_group.items()
        ],
        override_metadata_namespace=metadata_namespace,
    )
    return ClusterSpecifierPlugin(
        extension=typed("envoy.router.cluster_specifier_plugin.priority_group", specifier)
    )
