"""Would the tests notice? Changes of the product, one at a time, and the tests that should fail of each."""
