"""One transform from raw rows to what the model sees, for training and for serving alike.

::

    fitting     training rows → feature_spec, in one streaming pass
    transform   feature_spec → ids and numbers, as TensorFlow operations
    encoding    Arrow rows → ids and numbers, through the same operations
    requests    Arrow rows → what the served model takes
    scoring     a SavedModel → scores, through its serving signature

Nothing is imported here: fitting needs no TensorFlow, and so a process that only fits loads none.
"""
