# SPDX-License-Identifier: GPL-3.0-or-later
"""``pasture-local demo``: a whole stack, from deployment to results and back to zero, for people to watch."""
