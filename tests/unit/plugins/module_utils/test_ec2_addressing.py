# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnets a VPC gets, and where."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils._ec2_addressing import (
    MAX_ZONES,
    choose_zones,
    one_per_zone,
    plan_subnets,
)


@given(st.integers(16, 20), st.integers(1, MAX_ZONES))
def test_subnets_lie_in_the_vpc_and_never_overlap(prefix: int, zones: int) -> None:
    networks = [IPv4Network(plan.cidr) for plan in plan_subnets(f"10.0.0.0/{prefix}", zones)]
    assert len(networks) == 2 * zones
    assert all(network.subnet_of(IPv4Network(f"10.0.0.0/{prefix}")) for network in networks)
    assert all(not a.overlaps(b) for i, a in enumerate(networks) for b in networks[i + 1 :])
    assert all(network.prefixlen <= 28 for network in networks)  # the smallest subnet of AWS


def test_a_further_zone_leaves_the_addresses_of_the_others_alone() -> None:
    assert set(plan_subnets("10.0.0.0/16", 2)) < set(plan_subnets("10.0.0.0/16", 3))


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("10.0.0.0/24", "between /16 and /20"),
        ("10.0.0.0/8", "between /16 and /20"),
        ("10.0.0.1/16", "not an IPv4 network"),
        ("banana", "not an IPv4 network"),
        ("8.8.0.0/16", "not private"),
    ],
)
def test_unusable_addresses_are_refused_with_the_reason(cidr: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        plan_subnets(cidr, 2)


def test_zones_that_offer_the_instance_types_come_first() -> None:
    offers = {"c": {"g5.xlarge"}, "b": {"g5.xlarge", "c7g.large"}}
    assert choose_zones(["a", "b", "c"], offers, 2, {}) == {1: "b", 2: "c"}


def test_a_subnet_stays_in_its_zone_although_others_would_be_better() -> None:
    assert choose_zones(["a", "b", "c"], {"c": {"g5.xlarge"}}, 2, {1: "a"}) == {1: "a", 2: "c"}


def test_too_few_zones_are_refused() -> None:
    with pytest.raises(ValueError, match="2 usable availability zones, not 3"):
        choose_zones(["a", "b"], {}, 3, {})


def test_of_two_subnets_in_a_zone_only_the_first_counts() -> None:
    assert one_per_zone(["s1", "s2", "s3"], {"s1": "a", "s2": "a", "s3": "b"}) == ["s1", "s3"]


def test_subnets_whose_zone_is_not_known_yet_all_count() -> None:
    assert one_per_zone(["(known after deploy: subnet)"] * 2, {}) == ["(known after deploy: subnet)"] * 2
