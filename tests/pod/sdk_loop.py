"""Run in the pod: an application that uses eGain's SDK, and has no credential worth the name.

One call after another over kept connections. Told to end, it finishes its work first, WORK_LEFT calls. Its last line
says how it went. Imports nothing of this project.
"""

# The SDK and mypy live in different environments.
# mypy: ignore-errors

import itertools
import json
import os
import signal
import sys
import time

from egain_api_python import Egain
from httpx import Client

BASE, LEFT = os.environ["EGAIN_BASE_URL"], int(os.environ["WORK_LEFT"])
PORTAL, LANGUAGE = "PROD-1000", "en-US"


def calls(egain):
    """The SDK's calls in turn, by three credentials."""
    everything = (
        lambda: egain.portal.general.get_all_portals(accept_language=LANGUAGE),
        lambda: egain.portal.userdetails.get_user_details(accept_language=LANGUAGE),
        lambda: egain.portal.article.get_article_by_id(
            accept_language=LANGUAGE, portal_id=PORTAL, article_id="PROD-2996"
        ),
        lambda: egain.prompt.get_prompt_templates(
            accept_language=LANGUAGE,
            department="Service",
            language_code=LANGUAGE,
            server_url=BASE + "/knowledge/contentmgr/v4",
        ),
    )
    return itertools.cycle(everything)


def main() -> int:
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    sent = failed = after = 0
    with (
        Client(headers={"X-On-Behalf-Of": "alice"}, timeout=20) as http,
        Egain(access_token="unused", server_url=BASE + "/knowledge/portalmgr/v4", client=http) as egain,
    ):
        for call in calls(egain):
            if told and after >= LEFT:
                break
            try:
                call()
            except Exception as error:  # whatever the SDK makes of it
                failed += 1
                print(type(error).__name__, error, file=sys.stderr, flush=True)
            sent += 1
            after += bool(told)
            time.sleep(0.05)
    print(json.dumps({"sent": sent, "failed": failed, "after": after}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
