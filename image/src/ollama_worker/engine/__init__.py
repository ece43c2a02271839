# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: an Ollama server, its HTTP API, its process and its store of models."""
