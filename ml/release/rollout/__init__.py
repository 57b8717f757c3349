"""From a few users to all of them: a blessed version on trial beside the stable one.

::

    tracks        the servers of the two tracks
    start         the push of a pipeline that has a canary
    trial         which version is on trial, by the ledger
    observations  what both tracks have answered, from Prometheus
    proportion    bounds that hold at every look
    findings      failures, latency and scores compared
    judgement     promote, roll back, hold or wait
    watch         one look, with its evidence
    promotion     the canary becomes stable
    withdrawal    the canary is taken back
"""
