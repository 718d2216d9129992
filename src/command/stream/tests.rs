//! Streams as clients meet them.
