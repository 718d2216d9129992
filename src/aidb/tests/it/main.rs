//! Tests of the journal through its public face.

mod backup;
mod basic;
mod damage;
mod faults;
mod model;
mod threads;
