//! The server as its users meet it: the binary as a process of its own, spoken to over TCP, stopped and killed.

mod common;

mod server {
    mod backups;
    mod blocking;
    mod crash;
    mod debugger;
    mod dialect;
    mod eviction;
    mod extensions;
    mod full_disk;
    mod functions;
    mod harness;
    mod hashes;
    mod isolation;
    mod listeners;
    mod memory;
    mod oracle;
    mod protocol;
    mod rollback;
    mod rust_client;
    mod savepoints;
    mod scripts;
    mod security;
    mod sort;
    mod specification;
    mod streams;
    mod transfer;
    mod waiting;
}
