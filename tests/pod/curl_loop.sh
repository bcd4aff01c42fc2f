#!/bin/sh
# An application that has nothing but curl and EGAIN_BASE_URL: one request after another, each on a connection of its
# own. Told to end, it finishes its work first, $WORK_LEFT requests. Its last line says how it went.
sent=0 failed=0 after=0 told=
trap 'told=yes' TERM
while [ -z "$told" ] || [ "$after" -lt "$WORK_LEFT" ]; do
    case $((sent % 3)) in
    0) path=/knowledge/portalmgr/v4/portals/PROD-1000 ;;
    1) path=/knowledge/portalmgr/v4/portals/user ;;
    2) path=/demo/echo/anonymous ;;
    esac
    curl --silent --show-error --fail --max-time 20 --output /dev/null \
        -H 'Accept-Language: en-US' -H 'X-On-Behalf-Of: alice' "$EGAIN_BASE_URL$path" || {
        failed=$((failed + 1))
        echo "$path failed" >&2
    }
    sent=$((sent + 1))
    [ -z "$told" ] || after=$((after + 1))
    sleep 0.05
done
echo "{\"sent\": $sent, \"failed\": $failed, \"after\": $after}"
[ "$failed" = 0 ]
