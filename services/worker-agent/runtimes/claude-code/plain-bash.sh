#!/usr/bin/env bash
# The shell of an agent's commands: without the start-up files of the person whose machine it is, since what they
# export (keys and tokens, as often as not) is none of an agent's business. The CLI would read them all into a snapshot
# first, and start a login shell where it has none: neither is done here.
# What the CLI itself needs to sign its requests, where that cannot be kept from it, is none of theirs either.
unset "${!AWS_@}" GOOGLE_APPLICATION_CREDENTIALS
case "$*" in *SNAPSHOT_FILE*) exit 1 ;; esac
plain=()
for word in "$@"; do
  case $word in -l | --login) ;; *) plain+=("$word") ;; esac
done
exec "$BASH" --noprofile --norc "${plain[@]}"
