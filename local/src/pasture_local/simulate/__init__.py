# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack's scaling will do with a load: how long documents wait, and what the instances cost."""
