"""A token's life as a bar: how much has passed, where it is refreshed, where it stops being used.

Owns the drawing only. SVG without style attributes; the same is said in words for those who do not see it.
"""

from __future__ import annotations

from sidecar.admin.status import TokenStatus
from sidecar.admin.words import duration

_LABEL_ROOM = 78  # a refresh label further right than this (per cent) would run into the one of the stop


def bar(token: TokenStatus) -> str:
    """Empty track while there is no token."""
    if not token.lifetime_s or token.age_s is None:
        return (
            '<svg class="bar" role="img" aria-label="No token">'
            '<rect class="track" width="100%" height="14" rx="4"/></svg>'
        )
    passed = _share(token.age_s, token.lifetime_s)
    refresh = _mark(token, token.refresh_in_s)
    stop = _mark(token, token.hard_stop_in_s)
    words = f"{passed:.0f} % of {duration(token.lifetime_s)} passed"
    drawn = ['<rect class="track" width="100%" height="14" rx="4"/>']
    if stop is not None:
        words += f", not used after {stop:.0f} %"
        drawn.append(f'<rect class="late" x="{stop:.2f}%" width="{100 - stop:.2f}%" height="14" rx="2"/>')
    drawn.append(f'<rect class="{token.condition}" width="{passed:.2f}%" height="14" rx="4"/>')
    if refresh is not None:
        words += f", refreshed at {refresh:.0f} %"
        drawn.append(_tick(refresh, "refresh" if refresh <= _LABEL_ROOM else ""))
    if stop is not None:
        drawn.append(_tick(stop, "stop"))
    return f'<svg class="bar" role="img" aria-label="{words}"><title>{words}</title>{"".join(drawn)}</svg>'


def _tick(at: float, label: str) -> str:
    anchor = "start" if at < 10 else "end" if at > 90 else "middle"
    return (
        f'<line x1="{at:.2f}%" x2="{at:.2f}%" y1="-2" y2="18"/>'
        f'<text x="{at:.2f}%" y="30" text-anchor="{anchor}">{label}</text>'
    )


def _mark(token: TokenStatus, in_seconds: float | None) -> float | None:
    """Where a moment lies, in per cent of the lifetime."""
    if in_seconds is None or token.age_s is None or not token.lifetime_s:
        return None
    return _share(token.age_s + in_seconds, token.lifetime_s)


def _share(part: float, whole: float) -> float:
    return min(max(part / whole * 100, 0.0), 100.0)
