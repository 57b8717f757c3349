"""Scheduled retraining of recommenders: everything below this line runs without Airflow."""

import os

# TensorFlow's C++ side reports as errors that CUDA's libraries are linked twice, on machines without a GPU
# too. What goes wrong for real also comes as a Python exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
