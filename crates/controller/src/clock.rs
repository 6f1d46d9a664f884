//! The only place where the controller reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use muster_model::time::Timestamp;

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time zone of this host, by whose calendar reservations recur.
pub(crate) fn zone() -> TimeZone {
    TimeZone::system()
}
