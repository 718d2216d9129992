//! A durable, atomic key-value journal.
