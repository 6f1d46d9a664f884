//! Documents of the vocabulary as bytes: JSON, in which unknown fields are skipped and missing ones take their default.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document from the other side cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} from the wire")]
pub struct DocumentError {
    /// Which document.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: serde_json::Error,
}

/// `document` as bytes.
///
/// # Panics
/// Never for types of `muster-model`: they have no map with keys that JSON cannot express.
pub fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents of the vocabulary can be written as JSON")
}

/// The document in `bytes`.
///
/// # Errors
/// When the bytes are not such a document; `what` names it in the message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|source| DocumentError { what, source })
}
