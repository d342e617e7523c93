"""A small app that keeps values of many kinds, fails on demand, and tells what it holds."""
