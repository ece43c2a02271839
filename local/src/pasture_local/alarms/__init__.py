# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's alarms and the scaling that they set off.

``metrics``, ``expression``, ``alarm`` and ``scaling`` are pure: they know neither the network nor the time of
day, so that the simulator runs the very same rules. ``queues`` and ``loop`` tie them to the emulator.
"""
