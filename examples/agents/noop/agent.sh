#!/usr/bin/env bash
# Reads its task and changes nothing: what a sound task must judge as failed.
echo "noop: read $(wc -c < "$TASK_PROMPT") bytes of prompt for ${TERM_TASK_ID:-a task}, changing nothing"
