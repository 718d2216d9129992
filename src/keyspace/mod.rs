//! The keyspace layer.
