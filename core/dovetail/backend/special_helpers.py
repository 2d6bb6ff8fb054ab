"""Helpers of expressions that are polynomials, written out from their coefficients.

The formulas are those of ``ops/pointwise/gamma.py`` and ``error_function.py``, all computed and one
taken, so that a compiler makes vectors of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.backend.coefficients import (
    CENTRE,
    DIGAMMA_FAR,
    DIGAMMA_NEAR_ONE,
    DIGAMMA_ROOT,
    DIGAMMA_ROOT_REST,
    OUTER,
    REMOTE,
)

__all__ = ["SPECIAL"]


def _polynomial(name: str, x: str, coefficients: Sequence[float]) -> str:
    """Statements that make ``name`` the polynomial in ``x``."""
    first, *rest = (f"({c!r})" for c in map(float, coefficients))
    lines = [f"T {name} = {x} * {first} + {rest[0]};"]
    lines += [f"{name} = {name} * {x} + {c};" for c in rest[1:]]
    return "\n    ".join(lines)


def _fraction(name: str, x: str, parts: Sequence[Sequence[float]]) -> str:
    below = f"{name}_below"
    return "\n    ".join(
        [_polynomial(name, x, parts[0]), _polynomial(below, x, parts[1]), f"{name} /= {below};"]
    )


# The steps of the recurrence from [1, 2] up to 10.
_STEPS = "\n    ".join(
    f"near = steps > {k + 1}.0 ? near + 1.0 / (base + {k}.0) : near;" for k in range(8)
)

_DIGAMMA = f"""
T digamma(T x) {{
    T above = x < 0.0 ? 1.0 - x : x;
    T steps = floor(above), from = above < 1.0 ? above : above - steps;
    T base = from + 1.0, middle = base * 2.0 - 3.0;
    {_polynomial("near", "middle", DIGAMMA_NEAR_ONE)}
    near *= (base - {DIGAMMA_ROOT!r}) - {DIGAMMA_ROOT_REST!r};
    near = above < 1.0 ? near - 1.0 / above : near;
    {_STEPS}
    T square = 1.0 / (above * above);
    {_polynomial("far", "square", DIGAMMA_FAR)}
    far = log(above) - 0.5 / above - square * far;
    T made = above < 10.0 ? near : far, rest = x - rint(x);
    T turned = rest * 3.14159265358979323846;
    T reflected = made - cos(turned) / sin(turned) * 3.14159265358979323846;
    reflected = rest == 0.0 ? rest / rest : reflected;
    return x < 0.0 ? reflected : made;
}}"""

_INVERSE_ERF = f"""
T inverse_erf(T y) {{
    T beyond = 1.0 - fabs(y), centre = y * 0.5, inner = 0.180625 - centre * centre;
    {_fraction("central", "inner", CENTRE)}
    T depth = sqrt(-log(beyond * 0.5)), middle = depth - 1.6, deep = depth - 5.0;
    {_fraction("outer", "middle", OUTER)}
    {_fraction("remote", "deep", REMOTE)}
    T size = depth <= 5.0 ? outer : remote;
    size = y < 0.0 ? -size : size;
    T made = fabs(centre) <= 0.425 ? centre * central : size;
    return beyond == 0.0 ? y / beyond : made * 0.70710678118654752440;
}}"""

SPECIAL = {"digamma": _DIGAMMA, "inverse_erf": _INVERSE_ERF}
"""By name, the text of each function."""
