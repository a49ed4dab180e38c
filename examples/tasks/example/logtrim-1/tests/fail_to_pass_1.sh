#!/bin/bash
# This test must FAIL on base commit, PASS after fix
bash test/names.sh
