"""A stand-in for TensorFlow Serving, for machines without Docker.

It is **not** TensorFlow Serving: it is a small Python program that keeps the part of its contract which
this repository relies on (README.md beside this file says which part). The tests in
tests/integration/test_serving_contract.py hold it, and can hold the real binary, to that contract.
"""
