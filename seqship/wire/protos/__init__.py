"""The messages of TensorFlow Serving's API, and the set of descriptors that is made of them."""
