# SPDX-License-Identifier: GPL-3.0-or-later
"""A model server for machines without Ollama: llama.cpp and a small packaged model behind Ollama's HTTP API.

docs/fidelity.md says which part of the API it has, and in what it differs.
"""
