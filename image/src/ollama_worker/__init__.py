# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads documents from a queue, runs an Ollama model on each, writes exactly one result."""

__version__ = "1.0.0"
