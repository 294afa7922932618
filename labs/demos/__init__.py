"""The demos of `run.py demo`: one module each, with a `DEMO` of `labs.demo.Demo`."""
