#!/bin/sh
# Hand the volumes to the image's user: an engine creates them for root, and which container's idea of a
# shared volume wins depends on the order in which they are created. Safe to run again.
set -eu

for volume in "$@"; do
    chown 50000:0 "$volume"
    chmod 0755 "$volume"
done

# A model server does not start without its file; from the first push on it is the bundle's own.
for config in /models/models.config /models/canary.config /scratch/models.config; do
    if [ ! -e "$config" ]; then
        install -o 50000 -g 0 -m 0644 /opt/retraining/deploy/serving/models.config "$config"
    fi
done
