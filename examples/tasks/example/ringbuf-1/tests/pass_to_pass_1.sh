#!/bin/bash
# This test must PASS on base commit AND after fix
make -s test-basic
