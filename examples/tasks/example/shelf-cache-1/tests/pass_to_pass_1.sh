#!/bin/bash
# This test must PASS on base commit AND after fix
node --test test/cache.test.js
