# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules with a schedule: ``expression`` says when they are due, ``loop`` fires those that are deployed."""
