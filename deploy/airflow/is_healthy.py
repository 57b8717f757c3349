"""Health check of one of Airflow's parts: exits 0 if the api-server calls it healthy, else 1 with the reason.

`airflow jobs check` answers the same from the same heartbeats, but imports Airflow for it: seconds of
processor time, every time, for every part.
"""

from __future__ import annotations

import json
import sys
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

TIMEOUT_SECONDS = 10


def main(address: str, part: str) -> str | None:
    """Ask the api-server at ``address`` about ``part``: metadatabase, scheduler, triggerer or dag_processor.

    Returns:
        What is wrong, or None if nothing is.
    """
    url = f"{address}/api/v2/monitor/health"
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - an address of our own
            health = json.load(response)
    except (URLError, HTTPException, OSError, json.JSONDecodeError) as error:
        return f"{url} gave no health report: {error}"
    status = health.get(part, {}).get("status")
    return None if status == "healthy" else f"{part} is {status or 'not running'}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
