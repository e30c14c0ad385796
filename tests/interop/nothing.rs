//! This package only holds tests; see `it/`.
