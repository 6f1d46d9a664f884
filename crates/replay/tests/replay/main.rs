//! Laws that replays keep, and figures of traces that are known.

mod known;
mod laws;
