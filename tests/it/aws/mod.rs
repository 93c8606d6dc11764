//! Every action on AWS, through the real client: promise 2 (nothing is repeated, nothing lost) and promise 3 (what was there is put back); `available` is
//! never taken for done.
//!
//! The tests know an account and nothing of who plays it. What one of the stand-ins cannot is left out of its list, with the reason in
//! `tests/README.md`.

mod elasticache;
mod faults;
mod hostile;
mod killed;
mod playbooks;
mod rds;
