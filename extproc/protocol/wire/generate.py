"""Regenerate the protobuf stubs beside the `.proto` files: `python -m extproc.protocol.wire.generate`.

Needs the development dependencies `grpcio-tools` (which brings protoc) and `mypy-protobuf` (which writes the `.pyi`).
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import grpc_tools

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[2]


def main() -> int:
    """Write `*_pb2.py` and `*_pb2.pyi`; return protoc's exit status."""
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy"
    sources = sorted(path.relative_to(_ROOT).as_posix() for path in _FOLDER.glob("*.proto"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--proto_path={_ROOT}",
        f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={_ROOT}",
        f"--mypy_out=quiet:{_ROOT}",
        *sources,
    ]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - every argument is ours


if __name__ == "__main__":
    sys.exit(main())
