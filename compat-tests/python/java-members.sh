#!/bin/sh
# Stands for `java` in kazoo's harness of several servers: starts, for the member with number N, the Nth of the kinds
# that COMPAT_MEMBERS names (`java,quoll,quoll`).
for config; do :; done
id=$(cat "$(dirname "$config")/data/myid")
kind=$(echo "$COMPAT_MEMBERS" | cut -d, -f"$id")
exec sh "$COMPAT_LAUNCHERS/java-$kind.sh" "$@"
