//! Tests of the database through its public face.

mod backup;
mod basic;
mod compat;
mod damage;
mod faults;
mod model;
mod tables;
mod threads;
