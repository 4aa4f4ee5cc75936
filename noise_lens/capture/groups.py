"""Groups: named sets of parameters that are measured together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from noise_lens.errors import CaptureError

GroupSpec = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """A named set of parameters.

    Attributes
    ----------
    name : str
        As it stands in tables.
    parameters : tuple of str
        Names of its parameters, in the model's order.
    """

    name: str
    parameters: tuple[str, ...]


def build_groups(parameters: Sequence[str], spec: GroupSpec) -> tuple[Group, ...]:
    """Return the groups of `spec`; the group ``all`` always comes first.

    Parameters
    ----------
    parameters : sequence of str
        Names of the trainable parameters, in the model's order.
    spec : str or sequence of str or mapping of str to str
        ``"all"``; ``"tensor"``: one group a parameter; ``"module"``: one a module that owns
        parameters; anything else is a pattern such as ``"*.weight"``, several, or
        ``{group name: pattern}``. Patterns may overlap.

    Returns
    -------
    tuple of Group
        ``all`` and the groups that were asked for.

    Raises
    ------
    CaptureError
        There is no parameter, or a pattern matches none.
    """
    if not parameters:
        raise CaptureError(
            "the model has no trainable parameter: noise needs gradients. "
            "Set requires_grad_(True) on what training updates."
        )
    everything = Group("all", tuple(parameters))
    if spec == "all":
        return (everything,)
    if spec == "tensor":
        return (everything, *(Group(_own(name), (name,)) for name in parameters))
    if spec == "module":
        modules = {name.rpartition(".")[0] or "(root)": "" for name in parameters}
        return (
            everything,
            *(
                Group(
                    _own(module),
                    tuple(n for n in parameters if (n.rpartition(".")[0] or "(root)") == module),
                )
                for module in modules
            ),
        )
    if isinstance(spec, str):
        spec = spec.split(",")
    patterns = spec if isinstance(spec, Mapping) else {pattern: pattern for pattern in spec}
    if "all" in patterns:
        raise CaptureError(
            "a group cannot be named 'all': that is everything, and is always there. "
            "Give the pattern another name."
        )
    return (everything, *(_matching(parameters, *item) for item in patterns.items()))


def _own(name: str) -> str:
    return "(all)" if name == "all" else name  # a parameter may bear the name of the whole


def _matching(parameters: Sequence[str], name: str, pattern: str) -> Group:
    matched = tuple(n for n in parameters if fnmatchcase(n, pattern))
    if not matched:
        shown = ", ".join(parameters[:6]) + (", ..." if len(parameters) > 6 else "")
        raise CaptureError(
            f"the group pattern {pattern!r} matches no trainable parameter; there are {shown}. "
            "Use all, tensor, module, or a pattern such as '*.weight'."
        )
    return Group(name, matched)
