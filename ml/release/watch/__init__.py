"""The watch: every few minutes, whether the version that users are answered by does them harm.

::

    alerts      which of the configured alerts fire, by Prometheus
    judgement   what that means for the last move of the users' label: pure
    look        one look: model server, registry and ledger side by side, the alerts, and the way back
    concerns    what a person has to know, told once
"""
