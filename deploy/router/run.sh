#!/bin/sh
# Run the router, and put its access log aside before it fills the disk.
#
#     run.sh PREFIX [LARGEST_BYTES [SECONDS [KEPT_DAYS]]]
#
# Below PREFIX lie the access log and nginx's temporary files. The log is looked at every SECONDS; one of more than
# LARGEST_BYTES becomes access.log.1, and the one before that is gone. mtail reads access.log.1 as far as it goes when
# the new file is seen, within a quarter of a second: a line that a worker writes into the old one later than that, before
# it has begun the new one, is counted nowhere. The record of answers in PREFIX/predictions is kept for KEPT_DAYS: what
# is needed of it for longer has been landed by then.
set -eu

prefix=$1
largest=${2:-268435456}
seconds=${3:-60}
kept_days=${4:-7}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

mkdir -p "$prefix/temp" "$prefix/predictions"
nginx -p "$prefix" -c "$here/nginx.conf" -e stderr -g 'daemon off;' &
nginx=$!
# Requests on their way are answered first.
trap 'trap - TERM INT; kill -QUIT $nginx; wait $nginx; exit' TERM INT

while kill -0 $nginx 2>/dev/null; do
    sleep "$seconds" &
    wait $!
    if [ "$(wc -c <"$prefix/access.log")" -gt "$largest" ]; then
        mv "$prefix/access.log" "$prefix/access.log.1"
        kill -USR1 $nginx
    fi
    find "$prefix/predictions" -name '*.jsonl' -mtime "+$kept_days" -delete
done
wait $nginx
