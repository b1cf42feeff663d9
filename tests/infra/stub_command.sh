#!/usr/bin/env bash
# Stands in for helm, kubectl, az, ...: notes how it was called and what it read, then answers from a table.
# $STUB_FOLDER/answers holds lines of PATTERN <tab> STATUS <tab> OUTPUT; the first pattern that fits the call wins.
call="${0##*/} $*"
printf '%s\n' "$call" >>"$STUB_FOLDER/calls"
if [[ $call == *"--values -"* || $call == *"--filename=-"* ]]; then
  printf -- '---\n# %s\n%s\n' "$call" "$(cat)" >>"$STUB_FOLDER/stdin"
fi
while IFS=$'\t' read -r pattern status output; do
  # shellcheck disable=SC2053 # unquoted, because it is a pattern
  if [[ $call == $pattern ]]; then
    printf '%b' "$output"
    exit "$status"
  fi
done <"$STUB_FOLDER/answers"
exit 0
