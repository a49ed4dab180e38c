#!/bin/bash
# This test must FAIL on base commit, PASS after fix
make -s test-wrap
