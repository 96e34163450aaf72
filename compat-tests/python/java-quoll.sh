#!/bin/sh
# Stands for `java` in kazoo's harness: starts Quoll on the same zoo.cfg with the same properties. What is
# left out of `java -cp PATH -D… CLASS zoo.cfg`: the class path and the class.
for config; do :; done
{
    echo "clientPortAddress=127.0.0.1"
    echo "secureClientPortAddress=127.0.0.1"
    echo "admin.enableServer=false"
} >>"$config"
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
    -cp)
        shift
        left=$((left - 1))
        ;;
    org.apache.zookeeper.*) ;;
    *) set -- "$@" "$argument" ;;
    esac
done
exec "$COMPAT_QUOLL" server "$@"
