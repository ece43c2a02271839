# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in an account and not in an API: the ECS scheduler and agents, and managed scaling of instances.

``scheduler``, ``capacity``, ``definition`` and ``health`` decide; ``runner`` and ``logs`` act; ``loop`` ties them
to the emulator.
"""
