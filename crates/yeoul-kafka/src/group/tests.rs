//! The coordinator over a simulated store.
