# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ollama_worker``."""

import sys

from ollama_worker.cli import main

if __name__ == "__main__":
    sys.exit(main())
