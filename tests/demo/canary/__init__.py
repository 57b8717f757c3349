"""The scenario of a canary: one version fails its users and is taken back, the next one is promoted.

::

    story      the nights, the fault, how the canary is judged
    tracks     its servers: canary, router, and all that watches them
    users      who never stop asking, a process of its own
    traffic    what the users were answered, and by which track
    rollouts   waiting for the rollout DAG
    timeline   what happened, by the ledger and Prometheus
    panels     Grafana's dashboard as a picture
    outcome    whether the story came out
    scenario   all of it, in order
"""
