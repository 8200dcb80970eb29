"""Superset 4.1.4, unmodified, on a running node: its REST API and its pages in Chromium.

What was produced, what our SQL answers and what Superset shows must be one. Names as arguments run only
those checks (and what they need).
"""
import sys

import checks

passed, failed = checks.run("4.1.4", checks.QUICK, sys.argv[1:])
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
