"""Scheduled retraining of recommenders: everything below this line runs without Airflow."""

import os

# TensorFlow's C++ side logs its CPU features and every optimisation at the default level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
