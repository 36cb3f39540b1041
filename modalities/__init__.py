"""Built-in data types, written on the public interface of `latentgen` alone."""
