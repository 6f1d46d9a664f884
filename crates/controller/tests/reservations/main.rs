//! Reservations from the command line to the start of jobs: `scontrol` and `sinfo` lines go through the dialect into the
//! core, plans of the real scheduler are applied, and time passes. Text in, text out.

mod laws;
mod life;
mod stage;
mod transcript;
