//! Builders and doubles for the tests of the other crates. Nothing that is shipped depends on it.

pub mod builders;
pub mod cases;
pub mod disk;
pub mod load;
pub mod scenario;
pub mod show;

pub use cases::cases;
pub use disk::Disk;
