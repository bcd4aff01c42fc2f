"""`helm test`: waits until the example's sidecar has answered a request of the app with the upstream's 200."""

import os
import re
import sys
import time
import urllib.request

url = os.environ["EXAMPLE_URL"] + "/metrics"
deadline = time.monotonic() + 60
seen = ""
while time.monotonic() < deadline:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            seen = answer.read().decode()
    except OSError as failed:
        seen = str(failed)
    served = re.findall(r'^auth_sidecar_requests_total\{[^}]*status="200"[^}]*\} (\d+)', seen, re.MULTILINE)
    if sum(map(int, served)):
        print("requests answered with 200:", sum(map(int, served)))
        sys.exit(0)
    time.sleep(1)
sys.exit(f"no request was answered with 200 within a minute; {url} says:\n{seen}")
