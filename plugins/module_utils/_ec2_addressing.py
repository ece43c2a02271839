# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which subnets a VPC gets, and in which availability zones. Nothing here calls AWS.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

#: The largest and the smallest block that gives each subnet between /20 and /28.
_LARGEST, _SMALLEST = 16, 20
#: A VPC is cut into 2**4 blocks: private subnets from the front, all public ones in the last.
_CUT = 4
MAX_ZONES = 6


@dataclass(frozen=True)
class SubnetPlan:
    """One subnet to be: C(number) counts from 1 and is the same for the two subnets of a zone."""

    number: int
    public: bool
    cidr: str

    @property
    def suffix(self) -> str:
        return f"{'public' if self.public else 'private'}-{self.number}"


def plan_subnets(cidr: str, zones: int) -> list[SubnetPlan]:
    """A private and a public subnet for each of C(zones) zones.

    A subnet's addresses depend on its number alone, so that zones can be added later. The public ones
    are planned also where none is made, which keeps their addresses free for a change of mind.

    :raises ValueError: with a sentence, when C(cidr) is not a private network that can be cut so.
    """
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"cidr {cidr} is not an IPv4 network: {error}") from error
    if not _LARGEST <= network.prefixlen <= _SMALLEST:
        raise ValueError(f"cidr {cidr} must be between /{_LARGEST} and /{_SMALLEST}, such as 10.0.0.0/16")
    if not network.is_private:
        raise ValueError(
            f"cidr {cidr} is not private; take one of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16"
        )
    blocks = list(network.subnets(prefixlen_diff=_CUT))
    public_blocks = list(blocks[-1].subnets(prefixlen_diff=_CUT))
    return [
        SubnetPlan(number + 1, public, str(source[number]))
        for public, source in ((False, blocks), (True, public_blocks))
        for number in range(zones)
    ]


def choose_zones(
    available: Sequence[str], offers: Mapping[str, set[str]], count: int, taken: Mapping[int, str]
) -> dict[int, str]:
    """The zone of each number from 1 to C(count).

    :param available: names of the region's usable availability zones.
    :param offers: zone name -> the wanted instance types it offers; zones that offer more come first,
        since GPU types are in some zones of a region only.
    :param taken: numbers that have their zone already, which never changes.
    :raises ValueError: with a sentence, when there are too few zones.
    """
    free = sorted(set(available) - set(taken.values()), key=lambda zone: (-len(offers.get(zone, ())), zone))
    chosen = {number: zone for number, zone in taken.items() if number <= count}
    missing = [number for number in range(1, count + 1) if number not in chosen]
    if len(missing) > len(free):
        raise ValueError(f"the region has {len(set(available))} usable availability zones, not {count}")
    return {**chosen, **dict(zip(missing, free, strict=False))}


def one_per_zone(subnet_ids: Sequence[str], zones: Mapping[str, str]) -> list[str]:
    """The first subnet of each zone, since EFS and interface endpoints take no second one.

    :param zones: subnet id -> zone; a subnet that is not in it counts as a zone of its own.
    """
    chosen: dict[str, str] = {}
    for number, subnet_id in enumerate(subnet_ids):
        chosen.setdefault(zones.get(subnet_id, f"unknown-{number}"), subnet_id)
    return list(chosen.values())
