#!/bin/sh
# Stands for `java` in kazoo's harness: the real one, small, listening on the loopback alone.
for config; do :; done
{
    echo "clientPortAddress=127.0.0.1"
    echo "secureClientPortAddress=127.0.0.1"
    echo "admin.enableServer=false"
} >>"$config"
exec "$COMPAT_JAVA" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"
