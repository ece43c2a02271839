# SPDX-License-Identifier: GPL-3.0-or-later
"""An AWS emulator: moto's server with patches for what a stack needs and moto lacks (docs/fidelity.md)."""
