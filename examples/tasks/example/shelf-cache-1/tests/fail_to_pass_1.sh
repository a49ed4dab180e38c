#!/bin/bash
# This test must FAIL on base commit, PASS after fix
node --test test/recency.test.js
