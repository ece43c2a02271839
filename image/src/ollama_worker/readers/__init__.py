# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of documents: each takes a file and returns its content.

They run in a process of their own (``python -m ollama_worker.readers``) and import their libraries
when they are needed.
"""
