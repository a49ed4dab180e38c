#!/bin/bash
# This test must PASS on base commit AND after fix
bash test/run.sh
