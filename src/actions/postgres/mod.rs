//! PostgreSQL, read directly.
mod budget;
