"""The wire contract of TensorFlow Serving: its messages, services and files, without TensorFlow.

The lowest layer: it stands on NumPy and protobuf alone, and knows nothing of models or bundles.
"""
