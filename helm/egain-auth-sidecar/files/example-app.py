"""An app that knows nothing of OAuth: it asks the sidecar for one path, again and again, and prints what came back."""

import os
import signal
import sys
import time
import urllib.error
import urllib.request

path, interval = sys.argv[1], float(sys.argv[2])
url = os.environ["EGAIN_BASE_URL"] + path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    request = urllib.request.Request(url, headers={"Accept-Language": "en-US"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            print("GET", url, answer.status, len(answer.read()), "bytes")
    except urllib.error.HTTPError as refused:
        print("GET", url, refused.code, refused.headers.get("X-Auth-Sidecar-Error", "from upstream"))
    except OSError as failed:
        print("GET", url, "failed:", failed)
    time.sleep(interval)
