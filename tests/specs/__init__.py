"""OpenAPI documents for tests: small ones of our own, and eGain's where they are.

eGain's are not part of this repository: EGAIN_SPECS names the folder that has them (default: ../shared/egain).
"""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
OURS = [HERE / name for name in ("portal.yaml", "content.yaml", "services.json")]

FOLDER = Path(os.environ.get("EGAIN_SPECS") or HERE.parent.parent.parent / "shared" / "egain")
EGAINS = [FOLDER / f"{name}-v4.openapi.yaml" for name in ("portalmgr", "contentmgr", "aiservices")]


def egains_missing() -> str | None:
    """Why eGain's documents cannot be used, if they cannot."""
    missing = [path.name for path in EGAINS if not path.exists()]
    return f"{', '.join(missing)} not found; EGAIN_SPECS names the folder that has them" if missing else None
