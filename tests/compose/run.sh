#!/usr/bin/env bash
# Proves docker-compose.yml on a machine without a registry; tests/compose/run.py says how.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${VENV:-.venv}/bin/python" -m tests.compose.run "$@"
