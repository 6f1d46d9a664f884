//! The store from outside: what each database must do, and what SQLite in particular must survive.

mod conformance;
mod crash;
mod damage;
mod rows;
mod sample;
mod sqlite;
