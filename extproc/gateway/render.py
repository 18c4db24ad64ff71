"""From settings to the text of `envoy.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import betterproto2
from envoy_data_plane.envoy.config.bootstrap.v3 import Admin, Bootstrap, BootstrapStaticResources
from envoy_data_plane.envoy.config.core.v3 import Node

from extproc.gateway.clusters import clusters
from extproc.gateway.comments import COMMENTS, HEADING, SOURCE
from extproc.gateway.listener import listener
from extproc.gateway.primitives import address
from extproc.gateway.yaml_text import write_yaml
from extproc.settings import Settings


def render_envoy_yaml(
    settings: Settings, endpoints_directory: Path | None = None, *, source: Path = Path("fleet.yaml")
) -> str:
    """Render Envoy's whole configuration, each ext_proc and retry option with its reason.

    Args:
        settings: What to render. The instances play no part: they are delivered through files.
        endpoints_directory: Where those files stand; the one that the settings name when None.
        source: The fleet file, to be named in the first line.
    """
    return SOURCE.format(source) + HEADING + write_yaml(envoy_tree(settings, endpoints_directory), COMMENTS)


def envoy_tree(settings: Settings, endpoints_directory: Path | None = None) -> dict[str, Any]:
    """Build Envoy's whole configuration as plain values, with the field names of Envoy's documentation."""
    directory = endpoints_directory or Path(settings.gateway.endpoints_directory)
    bootstrap = Bootstrap(
        node=Node(id="ttca", cluster="ttca"),
        admin=Admin(address=address(settings.gateway.admin)),
        static_resources=BootstrapStaticResources(
            listeners=[listener(settings)], clusters=clusters(settings, directory)
        ),
    )
    tree: dict[str, Any] = bootstrap.to_dict(casing=betterproto2.Casing.SNAKE)
    return tree
