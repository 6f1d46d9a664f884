//! How `Option<Option<T>>` is written in a change: a field that stays is left out, one that is taken away is null.
//!
//! Without this a null would be read as "stays", so that nothing could ever be taken away. A field that uses it is also
//! marked to be left out where it is `None` (`skip_serializing_if`) and to be `None` where it is missing (`default`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the value inside, or null.
pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, to: S) -> Result<S::Ok, S::Error> {
    value.as_ref().and_then(Option::as_ref).serialize(to)
}

/// What is there says something, even a null.
pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use crate::accounting::{AssociationChanges, QosChanges};
    use crate::request::PartitionChanges;
    use crate::reservation::ReservationChanges;

    #[test]
    fn what_is_taken_away_is_told_from_what_stays() {
        fn check<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(change: T) {
            let text = serde_json::to_string(&change).expect("a text");
            assert_eq!(serde_json::from_str::<T>(&text).expect("a change"), change, "{text}");
        }
        check(QosChanges { grace_time: Some(None), limit_factor: Some(Some(2.0)), ..QosChanges::default() });
        check(QosChanges { preempt_mode: Some(None), usage_threshold: Some(None), ..QosChanges::default() });
        check(QosChanges { preempt_exempt_time: Some(None), ..QosChanges::default() });
        check(AssociationChanges { qos_default: Some(None), ..AssociationChanges::default() });
        check(PartitionChanges { nodes_max: Some(None), qos: Some(None), ..PartitionChanges::default() });
        check(PartitionChanges { time_default: Some(None), cpus_per_node_max: Some(None), ..Default::default() });
        check(ReservationChanges { start_delay_max: Some(None), ..ReservationChanges::default() });
        check(crate::accounting::ResourceChanges { percent_allowed: Some(None), ..Default::default() });
    }
}
