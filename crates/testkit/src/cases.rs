//! How many random cases a law is tried on: few in every CI, many in a run of the laws alone.

/// The variable that sets the number for all laws of a run, as `cargo xtask laws` does.
pub const CASES_VARIABLE: &str = "MUSTER_TEST_CASES";

/// What [`CASES_VARIABLE`] says, or `usual`, which keeps the tests short.
///
/// # Panics
/// Where the variable is not a number: a misspelt one must not look like a long run.
pub fn cases(usual: u32) -> u32 {
    match std::env::var(CASES_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{CASES_VARIABLE}={text:?}: {error}")),
        Err(_) => usual,
    }
}
