# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded cloud of pasture.ollama: everything a deployed stack needs, on loopback of one machine."""
