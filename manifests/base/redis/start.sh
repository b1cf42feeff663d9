#!/bin/sh
# Starts Redis with two users made from the one password: the transformer's may read and write `sentiment:` keys and
# nothing else, the exporter's may look at statistics and at no key. The rules enter by stdin, so the password is
# neither on the command line nor in a file.
set -eu
: "${REDIS_PASSWORD:?the Secret sentiment-cache has no redis-password}"
exec redis-server "${1:-/etc/redis/redis.conf}" - <<RULES
user default on >${REDIS_PASSWORD} ~sentiment:* resetchannels -@all +@connection +@read +@write +@transaction -@dangerous -@admin
user exporter on >${REDIS_PASSWORD} resetkeys resetchannels -@all +@connection +info +config|get +slowlog +latency +client|list +dbsize
RULES
