#!/usr/bin/env bash
# Prints without end. Output is capped while it is read; above MAX_FLOOD_BYTES it is ended as `output_limit`.
exec yes "flood: a line that says nothing, again and again and again, until somebody turns it off"
