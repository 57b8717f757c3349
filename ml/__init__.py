"""Scheduled retraining of recommenders: everything below this line runs without Airflow."""
