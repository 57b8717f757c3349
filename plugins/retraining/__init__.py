"""What Airflow needs to know to run the steps of ``ml``. Thin: plugins are not versioned with the bundle."""
