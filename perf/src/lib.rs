//! Benchmarks of Tutti, and the floor that they are held against.
