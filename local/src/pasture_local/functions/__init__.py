# SPDX-License-Identifier: GPL-3.0-or-later
"""Lambda, as far as rules that invoke functions need it: their deployed code, role, environment and limits."""
