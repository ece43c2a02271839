# SPDX-License-Identifier: GPL-3.0-or-later
"""What a patch is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.moto_api._internal import urls as moto_api_urls


@dataclass(frozen=True)
class Patch:
    """One function of moto that is replaced, or added.

    ``function`` is called with what was there before (None when there was nothing) and then with the
    arguments of the call, ``self`` first when ``owner`` is a class. Its docstring says why it is there.
    """

    name: str  # as in docs/fidelity.md
    owner: Any  # a class or a module
    attribute: str
    function: Callable[..., Any]

    def apply(self) -> None:
        """Put the function in place."""
        before = getattr(self.owner, self.attribute, None)
        function = self.function

        # A plain function rather than a partial: moto finds the actions of a service by inspect.isfunction.
        @functools.wraps(function)
        def patched(*args: Any, **kwargs: Any) -> Any:
            return function(before, *args, **kwargs)

        match inspect.getattr_static(self.owner, self.attribute, None):
            case staticmethod():
                setattr(self.owner, self.attribute, staticmethod(patched))
            case property(fset=setter):
                setattr(self.owner, self.attribute, property(patched, setter))
            case _:
                setattr(self.owner, self.attribute, patched)


@dataclass(frozen=True)
class Route:
    """A path that moto does not serve, for actions that it lacks."""

    name: str  # as in docs/fidelity.md
    urls: Any  # the module of a service's paths
    path: str

    def apply(self) -> None:
        """Serve the path by the service's dispatcher."""
        self.urls.url_paths[self.path] = self.urls.response.dispatch


@dataclass(frozen=True)
class OwnPath:
    """A path for the programs in ``local/``, beside those of moto's own API."""

    name: str  # as in docs/fidelity.md
    path: str
    function: Callable[..., Any]  # its docstring says why it is there

    def apply(self) -> None:
        """Serve the path."""
        moto_api_urls.url_paths[f"{{0}}{self.path}$"] = self.function
